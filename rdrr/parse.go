package rdrr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"shoal/rdrr/quant"
)

// wireManifest has every spelling of the fields that a reader needs, from all writers known. Fields not listed are ignored.
type wireManifest struct {
	Version       json.RawMessage `json:"version"` // 1, "1" or "1.0"
	ModelID       string          `json:"modelId"`
	ModelType     string          `json:"modelType"`
	Quantization  string          `json:"quantization"`
	Config        json.RawMessage `json:"config"`
	HashAlgorithm string          `json:"hashAlgorithm"`
	Shards        json.RawMessage `json:"shards"`
	Tensors       json.RawMessage `json:"tensors"` // inline, or
	TensorsFile   string          `json:"tensorsFile"`
	TensorCount   *int64          `json:"tensorCount"`
	TotalSize     *int64          `json:"totalSize"`
	MoE           json.RawMessage `json:"moeConfig"`
	Groups        json.RawMessage `json:"groups"`
	Files         json.RawMessage `json:"files"`
	Layout        string          `json:"defaultWeightLayout"`
	Conversion    struct {
		Quantization struct {
			Layout string `json:"layout"`
		} `json:"quantization"`
	} `json:"conversion"`
	QuantizationInfo struct {
		Layout string `json:"layout"`
	} `json:"quantizationInfo"`
}

type wireShard struct {
	Index     *int   `json:"index"`
	Filename  string `json:"filename"`
	FileName  string `json:"fileName"` // version "1.0"
	Size      int64  `json:"size"`
	Offset    *int64 `json:"offset"`
	Hash      string `json:"hash"`
	Blake3    string `json:"blake3"` // version "1.0"
	Algorithm string `json:"hashAlgorithm"`
}

type wireTensor struct {
	Shard      *int       `json:"shard"`
	ShardIndex *int       `json:"shardIndex"` // version "1.0"
	Offset     int64      `json:"offset"`
	Size       int64      `json:"size"`
	Shape      []int      `json:"shape"`
	DType      string     `json:"dtype"`
	Role       Role       `json:"role"`
	Layout     string     `json:"layout"`
	Spans      []wireSpan `json:"spans"`
}

type wireSpan struct {
	Shard      *int  `json:"shard"`
	ShardIndex *int  `json:"shardIndex"`
	Offset     int64 `json:"offset"`
	Size       int64 `json:"size"`
}

type wireFile struct {
	Size      int64  `json:"size"`
	Hash      string `json:"hash"`
	Algorithm string `json:"hashAlgorithm"`
}

// ParseManifest reads and checks a manifest. readFile fetches the file of tensors that some writers put beside it; it may be nil
// where there is none.
func ParseManifest(data []byte, readFile func(name string) ([]byte, error)) (*Manifest, error) {
	m, err := parseManifest(data, readFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	return m, nil
}

func parseManifest(data []byte, readFile func(name string) ([]byte, error)) (*Manifest, error) {
	if len(data) > maxManifestBytes {
		return nil, fmt.Errorf("%d bytes, over the limit of %d", len(data), maxManifestBytes)
	}
	var w wireManifest
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, err
	}
	if err := checkVersion(w.Version); err != nil {
		return nil, err
	}
	if w.ModelID == "" || w.ModelType == "" {
		return nil, errors.New("modelId or modelType is missing")
	}
	m := &Manifest{Version: Version, ModelID: w.ModelID, ModelType: w.ModelType, Quantization: w.Quantization, Config: w.Config}
	if !isObject(m.Config) {
		return nil, errors.New("config is missing: without the model's configuration its tensors mean nothing; convert the model again")
	}
	if err := m.parseShards(w); err != nil {
		return nil, err
	}
	tensors := w.Tensors
	if w.TensorsFile != "" {
		if isPresent(tensors) {
			return nil, errors.New("has both tensors and tensorsFile")
		}
		var err error
		if tensors, err = readTensorsFile(w.TensorsFile, readFile); err != nil {
			return nil, err
		}
	}
	if err := m.parseTensors(tensors, w); err != nil {
		return nil, err
	}
	if w.TensorCount != nil && *w.TensorCount != int64(len(m.Tensors)) {
		return nil, fmt.Errorf("tensorCount is %d, there are %d tensors", *w.TensorCount, len(m.Tensors))
	}
	if err := m.parseFiles(w); err != nil {
		return nil, err
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	if err := m.findExperts(w.MoE); err != nil {
		return nil, err
	}
	return m, m.checkExpertMaps(w.MoE, w.Groups)
}

func checkVersion(raw json.RawMessage) error {
	text := strings.Trim(string(raw), `"`)
	v, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(v):
		return fmt.Errorf("version is %.40q, want %d", text, Version)
	case v > Version:
		return fmt.Errorf("version %.40s is newer than %d, the newest this program reads: update the program", text, Version)
	case v != Version:
		return fmt.Errorf("version %.40s is not supported, want %d", text, Version)
	}
	return nil
}

func (m *Manifest) parseShards(w wireManifest) error {
	fallback := BLAKE3 // what readers of version "1.0" assume where nothing is said
	if w.HashAlgorithm != "" {
		var err error
		if fallback, err = parseAlgorithm(w.HashAlgorithm); err != nil {
			return err
		}
	}
	sum := int64(0)
	err := eachElement(w.Shards, maxShards, "shards", func(i int, raw json.RawMessage) error {
		var s wireShard
		if err := json.Unmarshal(raw, &s); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		if s.Index != nil && *s.Index != i {
			return fmt.Errorf("shard %d: index is %d", i, *s.Index)
		}
		name := first(s.Filename, s.FileName)
		if err := checkFileName(name); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
		if s.Size <= 0 || s.Size > maxShardBytes {
			return fmt.Errorf("shard %d (%s): size %d, want 1 to %d", i, name, s.Size, int64(maxShardBytes))
		}
		if s.Offset != nil && *s.Offset != sum {
			return fmt.Errorf("shard %d (%s): offset %d, the shards before it end at %d", i, name, *s.Offset, sum)
		}
		sum += s.Size
		algorithm := fallback
		if s.Algorithm != "" {
			var err error
			if algorithm, err = parseAlgorithm(s.Algorithm); err != nil {
				return fmt.Errorf("shard %d (%s): %w", i, name, err)
			}
		} else if s.Hash == "" {
			algorithm = BLAKE3
		}
		algorithm, hash, err := parseHash(first(s.Hash, s.Blake3), algorithm)
		if err != nil {
			return fmt.Errorf("shard %d (%s): %w", i, name, err)
		}
		m.Shards = append(m.Shards, Shard{File: name, Size: s.Size, Algorithm: algorithm, Hash: hash})
		return nil
	})
	if err != nil {
		return err
	}
	if len(m.Shards) == 0 {
		return errors.New("names no shards")
	}
	if w.TotalSize != nil && *w.TotalSize != sum {
		return fmt.Errorf("totalSize is %d, the shards have %d bytes", *w.TotalSize, sum)
	}
	return nil
}

func readTensorsFile(name string, readFile func(string) ([]byte, error)) (json.RawMessage, error) {
	if err := checkFileName(name); err != nil {
		return nil, fmt.Errorf("tensorsFile: %w", err)
	}
	if readFile == nil {
		return nil, fmt.Errorf("tensorsFile %s is not at hand", name)
	}
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("tensorsFile: %w", err)
	}
	data = bytes.TrimSpace(data)
	var wrapped struct {
		Tensors json.RawMessage `json:"tensors"`
	}
	if err := json.Unmarshal(data, &wrapped); err != nil {
		return nil, fmt.Errorf("tensorsFile %s: %w", name, err)
	}
	if isObject(wrapped.Tensors) {
		var probe wireTensor // a tensor may be called "tensors"
		if json.Unmarshal(wrapped.Tensors, &probe) != nil || probe.DType == "" {
			return wrapped.Tensors, nil
		}
	}
	return data, nil
}

func (m *Manifest) parseTensors(raw json.RawMessage, w wireManifest) error {
	var config struct {
		Layout string `json:"q4kLayout"`
	}
	_ = json.Unmarshal(m.Config, &config) // a field of another type means the same as none
	layout := first(config.Layout, w.QuantizationInfo.Layout, w.Conversion.Quantization.Layout, "row")
	err := eachMember(raw, maxTensors, "tensors", func(published string, raw json.RawMessage) error {
		if err := checkTensorName(published); err != nil {
			return err
		}
		name, keep := CanonicalName(published)
		if !keep {
			return nil
		}
		var t wireTensor
		if err := json.Unmarshal(raw, &t); err != nil {
			return fmt.Errorf("tensor %s: %w", published, err)
		}
		entry, err := t.entry(name, layout)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", published, err)
		}
		m.Tensors = append(m.Tensors, entry)
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(m.Tensors, func(a, b TensorEntry) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (t wireTensor) entry(name, layout string) (TensorEntry, error) {
	dtype := strings.ToUpper(t.DType)
	if dtype == "Q4_K_M" { // how version "1.0" calls Q4_K
		dtype = "Q4_K"
	}
	typ, err := quant.Parse(dtype)
	if err != nil {
		return TensorEntry{}, fmt.Errorf("%w; convert the model again from its original checkpoint", err)
	}
	if err := checkShape(t.Shape); err != nil {
		return TensorEntry{}, err
	}
	if err := checkLayout(typ, t.Shape, first(t.Layout, layout)); err != nil {
		return TensorEntry{}, err
	}
	role := t.Role
	if !role.known() {
		role = RoleOf(name)
	}
	e := TensorEntry{Name: name, Type: typ, Shape: t.Shape, Role: role}
	if len(t.Spans) > maxSpans {
		return TensorEntry{}, fmt.Errorf("%d spans, over the limit of %d", len(t.Spans), maxSpans)
	}
	for _, s := range t.Spans {
		e.Spans = append(e.Spans, Span{Shard: firstIndex(s.ShardIndex, s.Shard), Offset: s.Offset, Size: s.Size})
	}
	if len(e.Spans) == 0 {
		e.Spans = []Span{{Shard: firstIndex(t.ShardIndex, t.Shard), Offset: t.Offset, Size: t.Size}}
	} else if sum := e.Size(); sum != t.Size {
		return TensorEntry{}, fmt.Errorf("size is %d, its spans have %d bytes", t.Size, sum)
	}
	return e, nil
}

// checkLayout refuses tensors whose blocks do not lie in their rows. Where rows are whole blocks, "flat" is the same as rows.
func checkLayout(t quant.Type, shape []int, layout string) error {
	switch _, cols := rowsCols(shape); {
	case layout == "row" || layout == "row_wise":
		return nil
	case t.BlockSize() == 1 && layout != "column":
		return nil
	case layout == "flat" && cols%t.BlockSize() == 0:
		return nil
	}
	return fmt.Errorf("%s in layout %q cannot be read by rows; convert the model again with the row layout", t, layout)
}

func (m *Manifest) parseFiles(w wireManifest) error {
	m.FilesListed = isPresent(w.Files)
	err := eachMember(w.Files, maxFiles, "files", func(name string, raw json.RawMessage) error {
		var f wireFile
		if err := json.Unmarshal(raw, &f); err != nil {
			return fmt.Errorf("file %q: %w", name, err)
		}
		if err := checkFileName(name); err != nil {
			return fmt.Errorf("files: %w", err)
		}
		if f.Size < 0 || f.Size > maxFileBytes {
			return fmt.Errorf("file %s: size %d, want at most %d", name, f.Size, maxFileBytes)
		}
		algorithm, err := parseAlgorithm(first(f.Algorithm, w.HashAlgorithm, string(SHA256)))
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		algorithm, hash, err := parseHash(f.Hash, algorithm)
		if err != nil {
			return fmt.Errorf("file %s: %w", name, err)
		}
		m.Files = append(m.Files, FileEntry{Name: name, Size: f.Size, Algorithm: algorithm, Hash: hash})
		return nil
	})
	slices.SortFunc(m.Files, func(a, b FileEntry) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func (r Role) known() bool {
	switch r {
	case RoleEmbedding, RoleHead, RoleNorm, RoleRouter, RoleMatrix, RoleExpert, RoleVector:
		return true
	}
	return false
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func firstIndex(values ...*int) int {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return 0
}

func isPresent(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// eachMember calls f for the members of a JSON object, in the file's order, and stops at more than limit of them. A name that
// comes twice is an error, since readers differ in which of the two they believe. An absent or null object has no members.
func eachMember(raw json.RawMessage, limit int, what string, f func(name string, value json.RawMessage) error) error {
	if !isPresent(raw) {
		return nil
	}
	if !isObject(raw) {
		return fmt.Errorf("%s is not an object", what)
	}
	seen := map[string]bool{}
	return eachValue(raw, limit, what, func(d *json.Decoder, _ int) error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder accepts nothing else here
		if seen[name] {
			return fmt.Errorf("%s names %.80q twice", what, name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		return f(name, value)
	})
}

// eachElement calls f for the elements of a JSON array and stops at more than limit of them.
func eachElement(raw json.RawMessage, limit int, what string, f func(i int, value json.RawMessage) error) error {
	if !isPresent(raw) {
		return nil
	}
	if raw[0] != '[' {
		return fmt.Errorf("%s is not an array", what)
	}
	return eachValue(raw, limit, what, func(d *json.Decoder, i int) error {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		return f(i, value)
	})
}

func eachValue(raw json.RawMessage, limit int, what string, f func(d *json.Decoder, i int) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return err
	}
	for i := 0; d.More(); i++ {
		if i == limit {
			return fmt.Errorf("%s has over %d entries", what, limit)
		}
		if err := f(d, i); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		return err
	}
	return nil
}
