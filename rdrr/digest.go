package rdrr

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Digest computes the artifact's identity: see docs/rdrr-format.md, section on the digest. It depends on the configuration, on
// what the experts are, and on every weight through the shards' hashes, but neither on the manifest's spelling nor on names
// for people.
func (m *Manifest) Digest() Digest {
	h := sha256.New()
	fmt.Fprintln(h, "rdrr-digest 1")
	config := sha256.Sum256(canonicalJSON(m.Config))
	fmt.Fprintln(h, "config", hex.EncodeToString(config[:]))
	if moe := m.MoE; moe == nil {
		fmt.Fprintln(h, "dense")
	} else {
		fmt.Fprintln(h, "moe", moe.Experts, moe.TopK, moe.Hidden, moe.Intermediate, moe.Activation, moe.Bias, joinInts(moe.Layers, ","))
	}
	for _, s := range m.Shards {
		fmt.Fprintf(h, "shard %d %s:%s\n", s.Size, s.Algorithm, s.Hash)
	}
	for _, t := range m.Tensors {
		fmt.Fprintf(h, "tensor %s %s %s", t.Name, t.Type, joinInts(t.Shape, "x"))
		writeSpans(h, t.Spans)
	}
	return Digest(h.Sum(nil))
}

func writeSpans(w io.Writer, spans []Span) {
	for _, s := range spans {
		fmt.Fprintf(w, " %d:%d:%d", s.Shard, s.Offset, s.Size)
	}
	fmt.Fprintln(w)
}

func joinInts(values []int, separator string) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(separator)
		}
		fmt.Fprint(&b, v)
	}
	return b.String()
}

// canonicalJSON is JSON without white space, members sorted by name, numbers in the shortest form of their float64 (as RFC 8785
// has it), so that a manifest may be parsed and written again. JSON with a number beyond float64 stays as it is.
func canonicalJSON(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return raw
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
