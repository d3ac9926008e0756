package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// ggufModel is a GGUF file, or the parts of one that was split.
type ggufModel struct {
	name     string // of the first file, for errors
	files    []*os.File
	parts    []*gguf.File // the first has the metadata
	meta     *gguf.Metadata
	keys     *ggufKeys
	family   ggufFamily
	places   map[string]ggufTensor
	config   json.RawMessage
	tensors  []Stored
	kvHeads  int // of the rows that are stored in another order; 0 if none are
	allHeads int
}

// ggufTensor is a tensor and the part that holds it.
type ggufTensor struct {
	gguf.Tensor
	part   *gguf.File
	q5     bool        // stored as Q5_0, given as Q8_0
	stored io.ReaderAt // of q5: the file
}

// OpenGGUF opens a GGUF file as a checkpoint. Of a file that was split, any part may be named; all are opened. The weights stay
// in their stored formats: only what GGUF stores otherwise than the canonical tensor wants, such as permuted rows, is undone
// when it is read. docs/rdrr-format.md says what the metadata becomes.
func OpenGGUF(path string) (Source, error) {
	g := &ggufModel{name: filepath.Base(path), places: map[string]ggufTensor{}}
	if err := g.open(path); err != nil {
		g.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// IsGGUF tells by its first bytes whether a file is a GGUF file.
func IsGGUF(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	_, err = io.ReadFull(f, magic[:])
	return err == nil && string(magic[:]) == "GGUF"
}

func (g *ggufModel) Tensors() []Stored       { return g.tensors }
func (g *ggufModel) Config() json.RawMessage { return g.config }

func (g *ggufModel) Close() error {
	var errs []error
	for _, f := range g.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (g *ggufModel) open(path string) error {
	paths, err := splitPaths(path)
	if err != nil {
		return err
	}
	for i, p := range paths {
		if err := g.openPart(p, i, len(paths)); err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(paths), err)
		}
	}
	g.meta = g.parts[0].Metadata
	architecture, err := g.meta.String("general.architecture")
	if err != nil {
		return err
	}
	family, ok := ggufFamilies[architecture]
	if !ok {
		return fmt.Errorf("general.architecture is %q, which is not supported: want %s", architecture, ggufArchitectures())
	}
	g.family = family
	g.keys = &ggufKeys{meta: g.meta, prefix: architecture + ".", asked: map[string]bool{}}
	if g.config, err = g.readConfig(); err != nil {
		return err
	}
	return g.index()
}

func (g *ggufModel) openPart(path string, i, n int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	g.files = append(g.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	part, err := gguf.Open(f, info.Size())
	if err != nil {
		return err
	}
	if count, err := part.Metadata.Int("split.count"); err == nil && count != n {
		return fmt.Errorf("the model is split over %d files, found as name-00001-of-%05d.gguf and so on", count, count)
	}
	if no, err := part.Metadata.Int("split.no"); err == nil && no != i {
		return fmt.Errorf("%s says that it is part %d", filepath.Base(path), no+1)
	}
	for _, t := range part.Tensors {
		if _, ok := g.places[t.Name]; ok {
			return fmt.Errorf("a second tensor %s", t.Name)
		}
		g.places[t.Name] = ggufTensor{Tensor: t, part: part, stored: f}
	}
	g.parts = append(g.parts, part)
	return nil
}

var splitName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// maxSplits is far above the number of files that any published model is split over.
const maxSplits = 1000

// splitPaths lists the files of a model, given one of them.
func splitPaths(path string) ([]string, error) {
	m := splitName.FindStringSubmatch(path)
	if m == nil {
		return []string{path}, nil
	}
	n, err := strconv.Atoi(m[3])
	if err != nil || n < 1 || n > maxSplits {
		return nil, fmt.Errorf("split over %s files, at most %d are read", m[3], maxSplits)
	}
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("%s-%05d-of-%s.gguf", m[1], i+1, m[3])
	}
	return paths, nil
}

func (g *ggufModel) has(name string) bool {
	_, ok := g.places[name]
	return ok
}

// tensor returns a tensor of the file, whose format must be one of ours.
func (g *ggufModel) tensor(name string) (ggufTensor, error) {
	t, ok := g.places[name]
	if !ok {
		return t, fmt.Errorf("there is no tensor %s", name)
	}
	if t.GGML == ggmlQ5 {
		return t.asQ8()
	}
	if t.Type == quant.Invalid {
		return t, fmt.Errorf("tensor %s is stored as %v, which cannot be read: want F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, MXFP4 or Q5_0", name, t.GGML)
	}
	return t, nil
}

// read returns n of the bytes of a tensor's rows from offset on.
func (t ggufTensor) read(offset, n int64) ([]byte, error) {
	if t.q5 {
		return t.readQ5(offset, n)
	}
	r, err := t.part.Data(t.Tensor)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, offset); err != nil && !(errors.Is(err, io.EOF) && offset+n == t.Size) {
		return nil, fmt.Errorf("tensor %s: reading %d bytes: %w", t.Name, n, err)
	}
	return b, nil
}

func (t ggufTensor) bytes() ([]byte, error) { return t.read(0, t.Size) }

func (t ggufTensor) floats() ([]float32, error) {
	b, err := t.bytes()
	if err != nil {
		return nil, err
	}
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	out := make([]float32, n)
	return out, quant.DecodeRows(t.Type, out, b, t.Shape[len(t.Shape)-1])
}

// index finds the canonical tensors in what the file stores.
func (g *ggufModel) index() error {
	for _, part := range g.parts {
		for _, listed := range part.Tensors {
			if computed[listed.Name] {
				continue
			}
			t, err := g.tensor(listed.Name)
			if err != nil {
				return err
			}
			if len(t.Shape) == 0 {
				return fmt.Errorf("tensor %s has no dimensions", t.Name)
			}
			found, err := g.find(t)
			if err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			g.tensors = append(g.tensors, found...)
		}
	}
	return nil
}

// computed are tensors that hold nothing learned: what they say is in the configuration.
var computed = map[string]bool{"rope_freqs.weight": true}

// find returns the canonical tensors that are stored in t: many for merged experts, none for the second half of a pair.
func (g *ggufModel) find(t ggufTensor) ([]Stored, error) {
	if layer, parts, ok := mergedExperts(t.Name); ok {
		return cutExperts(t, layer, parts)
	}
	if layer, half, ok := latentHalf(t.Name); ok {
		if half == "v" {
			return nil, nil
		}
		return g.joinLatent(t, layer)
	}
	s := Stored{Name: g.family.canonical(t.Name), From: t.Name, Shape: t.Shape, Type: t.Type, Load: t.bytes}
	switch {
	case hasSuffixAny(s.Name, "shared_expert_gate.weight") && len(t.Shape) == 1:
		s.Shape = []int{1, t.Shape[0]}
	case g.family.plusOne && hasSuffixAny(s.Name, "norm.weight"):
		s.Type = quant.F32
		s.Load = func() ([]byte, error) { return minusOne(t) }
	case g.family.permuted && hasSuffixAny(s.Name, "self_attn.q_proj.weight", "self_attn.q_proj.bias"):
		s.Load = func() ([]byte, error) { return unpermute(t, g.allHeads) }
	case g.family.permuted && hasSuffixAny(s.Name, "self_attn.k_proj.weight", "self_attn.k_proj.bias"):
		s.Load = func() ([]byte, error) { return unpermute(t, g.kvHeads) }
	}
	return []Stored{s}, nil
}

// sortedNames lists the tensors of the file, for messages.
func (g *ggufModel) sortedNames() []string {
	names := make([]string, 0, len(g.places))
	for name := range g.places {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
