// Package gguf reads and writes the GGUF container, versions 2 and 3: typed metadata, a directory of tensors and their data.
//
// [Open] reads and checks everything before the tensor data and leaves the data where it is; [NewWriter] streams a file out
// tensor by tensor. The package knows the container only. What a key or a tensor's name means for a model is for its
// importer to say, and weights stay in their stored blocks, which package quant decodes.
//
// # Layout
//
// All numbers are little-endian. A string is a uint64 length and that many bytes, without terminator.
//
//	"GGUF"
//	uint32  version, 2 or 3 (they differ in nothing but that 3 allows big-endian files, which are refused here)
//	uint64  number of tensors
//	uint64  number of metadata entries
//	entries: string key, uint32 type, value
//	tensors: string name, uint32 n, uint64 dimension[n] (innermost first), uint32 ggml type, uint64 offset
//	zeros up to the next multiple of the alignment; tensor offsets count from here
//	data of the tensors, each at a multiple of the alignment, zeros between
//
// Value types are 0 uint8, 1 int8, 2 uint16, 3 int16, 4 uint32, 5 int32, 6 float32, 7 bool (one byte, 0 or 1), 8 string,
// 9 array (uint32 element type, uint64 count, elements), 10 uint64, 11 int64, 12 float64. The alignment is the entry
// general.alignment, or 32.
//
// # What is refused
//
// Counts, lengths and sizes beyond what is left of the file; more than 256 MiB before the data; duplicate keys and names;
// arrays of arrays; more than four dimensions; rows that are no whole number of blocks; tensors that are not aligned, reach
// past the end of the file or overlap. A tensor in a format that package quant lacks is listed, but cannot be read.
package gguf

import (
	"fmt"
	"io"
	"slices"

	"shoal/rdrr/quant"
)

const (
	magic            = "GGUF"
	defaultAlignment = 32
	alignmentKey     = "general.alignment"
	maxHeader        = 256 << 20 // the largest vocabularies take a tenth of it
	maxDims          = 4
)

// File is an open GGUF file. Its methods may be called from several goroutines.
type File struct {
	Version  uint32
	Metadata *Metadata
	Tensors  []Tensor // in the order of the file's directory

	r      io.ReaderAt
	byName map[string]int
}

// Tensor describes one tensor of a file.
type Tensor struct {
	Name string
	Type quant.Type // quant.Invalid if the format is none of ours; GGML then tells which
	GGML GGMLType
	// Shape has the outermost dimension first and the row's length last, the reverse of the file's own order.
	Shape  []int
	Offset int64 // of the data, from the beginning of the file
	Size   int64 // of the data in bytes; 0 if Type is Invalid
}

// Open reads the metadata and the tensor directory of the GGUF file in r, which is size bytes long. The file keeps r, and
// does not close it.
func Open(r io.ReaderAt, size int64) (*File, error) {
	f, err := read(r, size)
	if err != nil {
		return nil, fmt.Errorf("read GGUF: %w", err)
	}
	return f, nil
}

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Data returns a reader of a tensor's stored rows, t.Size bytes.
func (f *File) Data(t Tensor) (*io.SectionReader, error) {
	if t.Type == quant.Invalid {
		return nil, fmt.Errorf("read GGUF: tensor %q is stored as %v, which is not supported", t.Name, t.GGML)
	}
	return io.NewSectionReader(f.r, t.Offset, t.Size), nil
}

// checkPlacement makes sure that every tensor lies within the file and that no two share a byte.
func checkPlacement(tensors []Tensor, size int64) error {
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := tensors[a].Offset, tensors[b].Offset; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	var end int64
	var last string
	for _, i := range order {
		t := tensors[i]
		if t.Offset > size || t.Size > size-t.Offset {
			return fmt.Errorf("tensor %q: %d bytes from %d on reach past the file's end at %d: the file is truncated",
				t.Name, t.Size, t.Offset, size)
		}
		if t.Size > 0 && t.Offset < end {
			return fmt.Errorf("tensors %q and %q overlap at byte %d", last, t.Name, t.Offset)
		}
		if t.Size > 0 {
			end, last = t.Offset+t.Size, t.Name
		}
	}
	return nil
}
