package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"shoal/rdrr/quant"
)

// header reads what comes before the tensor data. left is how much of it may still follow: the rest of the file, or of
// maxHeader. Every length is compared with it before anything of that length is made.
type header struct {
	r       *bufio.Reader
	left    int64
	pos     int64
	scratch [24]byte // what fixed returns
}

func read(r io.ReaderAt, size int64) (*File, error) {
	if size < 24 {
		return nil, fmt.Errorf("%d bytes are too few for a header", size)
	}
	limit := min(size, maxHeader)
	h := &header{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, limit), 1<<16), left: limit}
	f := &File{r: r, Metadata: &Metadata{}, byName: map[string]int{}}
	tensors, entries, err := h.start(f)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if err := h.entry(f.Metadata); err != nil {
			return nil, fmt.Errorf("metadata entry %d: %w", i, err)
		}
	}
	alignment, err := alignmentOf(f.Metadata)
	if err != nil {
		return nil, err
	}
	for i := range tensors {
		t, err := h.tensor(alignment)
		if err != nil {
			return nil, fmt.Errorf("tensor %d: %w", i, err)
		}
		if _, ok := f.byName[t.Name]; ok {
			return nil, fmt.Errorf("tensor %d: a second tensor %q", i, t.Name)
		}
		f.byName[t.Name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, t)
	}
	data := alignUp(h.pos, alignment)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if t.Offset > math.MaxInt64-data {
			return nil, fmt.Errorf("tensor %q: offset %d is past the file's end", t.Name, t.Offset)
		}
		t.Offset += data
	}
	return f, checkPlacement(f.Tensors, size)
}

// start reads the fixed part and returns the counts of tensors and entries.
func (h *header) start(f *File) (tensors, entries uint64, err error) {
	b, err := h.fixed(24)
	if err != nil {
		return 0, 0, err
	}
	if string(b[:4]) != magic {
		return 0, 0, fmt.Errorf("the file begins with %q, not %q", b[:4], magic)
	}
	f.Version = binary.LittleEndian.Uint32(b[4:])
	switch {
	case f.Version == 2 || f.Version == 3:
	case f.Version != 0 && f.Version&0xffff == 0:
		return 0, 0, errors.New("big-endian files are not supported")
	default:
		return 0, 0, fmt.Errorf("version %d is not supported, only 2 and 3 are", f.Version)
	}
	tensors, entries = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	// The least that an entry takes: a key of one byte, a type, a byte. A tensor: a name of one byte, no dimension.
	if entries > uint64(h.left)/14 {
		return 0, 0, fmt.Errorf("%d metadata entries do not fit in the %d bytes that are left", entries, h.left)
	}
	if tensors > uint64(h.left)/25 {
		return 0, 0, fmt.Errorf("%d tensors do not fit in the %d bytes that are left", tensors, h.left)
	}
	return tensors, entries, nil
}

func (h *header) entry(m *Metadata) error {
	key, err := h.string()
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if m.Has(key) {
		return fmt.Errorf("a second key %q", key)
	}
	t, err := h.uint32()
	if err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	v, err := h.value(valueType(t))
	if err != nil {
		return fmt.Errorf("key %q: %w", key, err)
	}
	return m.Set(key, v)
}

func (h *header) value(t valueType) (any, error) {
	switch t {
	case typeString:
		return h.string()
	case typeArray:
		return h.array()
	}
	if t.minBytes() == 0 {
		return nil, fmt.Errorf("unknown value type %d", t)
	}
	b, err := h.fixed(t.minBytes())
	if err != nil {
		return nil, err
	}
	return scalar(t, b)
}

func (h *header) array() (any, error) {
	e, err := h.uint32()
	if err != nil {
		return nil, err
	}
	n, err := h.uint64()
	if err != nil {
		return nil, err
	}
	t := valueType(e)
	if t == typeArray {
		return nil, errors.New("arrays of arrays are not supported")
	}
	width := t.minBytes()
	if width == 0 {
		return nil, fmt.Errorf("unknown element type %d", e)
	}
	if n > uint64(h.left/width) {
		return nil, fmt.Errorf("an array of %d elements does not fit in the %d bytes that are left", n, h.left)
	}
	if t == typeString {
		list := make([]string, n)
		for i := range list {
			if list[i], err = h.string(); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return list, nil
	}
	b, err := h.bytes(int64(n) * width)
	if err != nil {
		return nil, err
	}
	return numbers(t, b, int(n))
}

// tensor reads one line of the directory. The offset it returns still counts from the beginning of the data.
func (h *header) tensor(alignment int64) (Tensor, error) {
	var t Tensor
	var err error
	if t.Name, err = h.string(); err != nil {
		return t, fmt.Errorf("name: %w", err)
	}
	if t.Name == "" {
		return t, errors.New("the name is empty")
	}
	if err := h.describe(&t); err != nil {
		return t, fmt.Errorf("%q: %w", t.Name, err)
	}
	if t.Offset%alignment != 0 {
		return t, fmt.Errorf("%q: offset %d is no multiple of the alignment %d", t.Name, t.Offset, alignment)
	}
	return t, nil
}

func (h *header) describe(t *Tensor) error {
	n, err := h.uint32()
	if err != nil {
		return err
	}
	if n > maxDims {
		return fmt.Errorf("%d dimensions, at most %d are possible", n, maxDims)
	}
	t.Shape = make([]int, n)
	for i := range t.Shape {
		d, err := h.uint64()
		if err != nil {
			return err
		}
		if d < 1 || d > math.MaxInt {
			return fmt.Errorf("dimension %d is %d", i, d)
		}
		t.Shape[len(t.Shape)-1-i] = int(d)
	}
	g, err := h.uint32()
	if err != nil {
		return err
	}
	offset, err := h.uint64()
	if err != nil {
		return err
	}
	if offset > math.MaxInt64 {
		return fmt.Errorf("offset %d is past the file's end", offset)
	}
	t.Offset = int64(offset)
	t.GGML = GGMLType(g)
	if t.Type = t.GGML.Quant(); t.Type != quant.Invalid {
		t.Size, err = storedSize(t.Type, t.Shape)
	}
	return err
}

func (h *header) bytes(n int64) ([]byte, error) {
	if n > h.left {
		return nil, fmt.Errorf("%d bytes wanted where %d are left: the file is truncated or damaged", n, h.left)
	}
	b := make([]byte, n)
	return b, h.fill(b)
}

// fixed returns the next n bytes, at most 24, which hold until the next call.
func (h *header) fixed(n int64) ([]byte, error) {
	b := h.scratch[:n]
	return b, h.fill(b)
}

func (h *header) fill(b []byte) error {
	if int64(len(b)) > h.left {
		return fmt.Errorf("%d bytes wanted where %d are left: the file is truncated or damaged", len(b), h.left)
	}
	n, err := io.ReadFull(h.r, b)
	h.left -= int64(n)
	h.pos += int64(n)
	if err != nil {
		return fmt.Errorf("at byte %d: %w", h.pos, err)
	}
	return nil
}

func (h *header) uint32() (uint32, error) {
	b, err := h.fixed(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (h *header) uint64() (uint64, error) {
	b, err := h.fixed(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (h *header) string() (string, error) {
	n, err := h.uint64()
	if err != nil {
		return "", err
	}
	if n > uint64(h.left) {
		return "", fmt.Errorf("a string of %d bytes where %d are left: the file is truncated or damaged", n, h.left)
	}
	b, err := h.bytes(int64(n))
	return string(b), err
}

func alignmentOf(m *Metadata) (int64, error) {
	if !m.Has(alignmentKey) {
		return defaultAlignment, nil
	}
	n, err := m.Int(alignmentKey)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > 1<<20 || n&(n-1) != 0 {
		return 0, fmt.Errorf("GGUF key %q is %d: want a power of two", alignmentKey, n)
	}
	return int64(n), nil
}

func alignUp(n, alignment int64) int64 { return (n + alignment - 1) / alignment * alignment }
