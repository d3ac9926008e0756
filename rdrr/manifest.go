package rdrr

import (
	"encoding/json"
	"sort"

	"shoal/rdrr/quant"
)

// Version is the format version that this package writes, and the newest that it reads.
const Version = 1

// ManifestFile is the name of the manifest within an artifact's folder.
const ManifestFile = "manifest.json"

// Manifest is what an artifact says of itself, checked and with the spellings of different writers evened out: names are
// canonical, every tensor has its spans, every shard its hash.
type Manifest struct {
	Version      int
	ModelID      string // for people
	ModelType    string // the configuration's model_type, as the writer saw it
	Quantization string // for people; every tensor has its own type
	Config       json.RawMessage
	Shards       []Shard
	Tensors      []TensorEntry // ascending by name
	MoE          *MoE          // nil if the model is dense
	Files        []FileEntry   // tokenizer and generation files, ascending by name
	// FilesListed is false for writers that do not record the other files of the folder: those have no hash to check.
	FilesListed bool

	experts map[expertKey][]int // the shards that hold each expert, ascending
}

// Shard is one file of weights.
type Shard struct {
	File      string
	Size      int64
	Algorithm Algorithm
	Hash      string // hex digits
}

// TensorEntry says where a tensor's bytes are.
type TensorEntry struct {
	Name  string
	Type  quant.Type
	Shape []int
	Role  Role
	Spans []Span // in order; one, unless a writer cut the tensor across shards
}

// Size is the number of bytes that the tensor takes.
func (t TensorEntry) Size() int64 {
	n := int64(0)
	for _, s := range t.Spans {
		n += s.Size
	}
	return n
}

// Span is a piece of a shard.
type Span struct {
	Shard        int
	Offset, Size int64
}

// FileEntry is a file that travels with the weights.
type FileEntry struct {
	Name      string
	Size      int64
	Algorithm Algorithm
	Hash      string
}

type expertKey struct{ layer, expert int }

// Tensor returns the entry of the tensor of that canonical name.
func (m *Manifest) Tensor(name string) (TensorEntry, bool) {
	i := sort.Search(len(m.Tensors), func(i int) bool { return m.Tensors[i].Name >= name })
	if i < len(m.Tensors) && m.Tensors[i].Name == name {
		return m.Tensors[i], true
	}
	return TensorEntry{}, false
}

// ExpertShards returns the indices of the shards that hold an expert, ascending: one, if the artifact is of our making.
func (m *Manifest) ExpertShards(layer, expert int) []int {
	return m.experts[expertKey{layer, expert}]
}

// TotalSize is the size of all shards in bytes.
func (m *Manifest) TotalSize() int64 {
	n := int64(0)
	for _, s := range m.Shards {
		n += s.Size
	}
	return n
}

// Parameters is the number of weights of all tensors.
func (m *Manifest) Parameters() int64 {
	n := int64(0)
	for _, t := range m.Tensors {
		n += elements(t.Shape)
	}
	return n
}

// elements is the number of values in a checked shape.
func elements(shape []int) int64 {
	n := int64(1)
	for _, d := range shape {
		n *= int64(d)
	}
	return n
}

// rowsCols splits a shape into rows and the length of a row: all dimensions but the last are rows.
func rowsCols(shape []int) (rows, cols int) {
	if len(shape) == 0 {
		return 1, 1
	}
	cols = shape[len(shape)-1]
	rows = 1
	for _, d := range shape[:len(shape)-1] {
		rows *= d
	}
	return rows, cols
}
