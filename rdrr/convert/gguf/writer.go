package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"shoal/rdrr/quant"
)

// maxName is the longest tensor name that ggml reads.
const maxName = 63

// Writer writes a GGUF file of version 3 from front to back.
type Writer struct {
	w         io.Writer
	tensors   []Tensor
	alignment int64
	size      int64
	pos       int64
	next      int // the tensor that follows
	err       error
}

// NewWriter checks and writes everything that comes before the tensor data. Of each tensor, Name, Type and Shape count;
// the writer places them in the order given, in which [Writer.Tensor] must then be called. Alignment is the metadata's
// general.alignment, or 32. The writer buffers nothing of the data and does not close w.
func NewWriter(w io.Writer, m *Metadata, tensors []Tensor) (*Writer, error) {
	out := &Writer{w: w}
	head, err := out.plan(m, tensors)
	if err != nil {
		return nil, fmt.Errorf("write GGUF: %w", err)
	}
	if err := out.write(head); err != nil {
		return nil, fmt.Errorf("write GGUF: %w", err)
	}
	return out, nil
}

// Size is the size in bytes of the whole file.
func (w *Writer) Size() int64 { return w.size }

// Tensor writes the data of the next tensor, which must be the one of that name, from r: its stored rows, exactly as many
// bytes as its type and shape say. After an error the file is of no use.
func (w *Writer) Tensor(name string, r io.Reader) error {
	if w.err == nil {
		w.err = w.tensor(name, r)
	}
	if w.err != nil {
		return fmt.Errorf("write GGUF: tensor %q: %w", name, w.err)
	}
	return nil
}

func (w *Writer) tensor(name string, r io.Reader) error {
	if w.next == len(w.tensors) {
		return errors.New("all tensors are written")
	}
	t := w.tensors[w.next]
	if t.Name != name {
		return fmt.Errorf("tensor %q is the next in the file", t.Name)
	}
	n, err := io.CopyN(w.w, r, t.Size)
	w.pos += n
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%v %v takes %d bytes, the data ended after %d", t.Type, t.Shape, t.Size, n)
	}
	if err != nil {
		return err
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n > 0 {
		return fmt.Errorf("%v %v takes %d bytes, and the data goes on", t.Type, t.Shape, t.Size)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	w.next++
	return w.write(make([]byte, alignUp(w.pos, w.alignment)-w.pos))
}

// Close reports an error if the file is not complete.
func (w *Writer) Close() error {
	if w.err == nil && w.next < len(w.tensors) {
		w.err = fmt.Errorf("tensor %q is not written", w.tensors[w.next].Name)
	}
	if w.err != nil {
		return fmt.Errorf("write GGUF: %w", w.err)
	}
	return nil
}

func (w *Writer) write(b []byte) error {
	n, err := w.w.Write(b)
	w.pos += int64(n)
	return err
}

// plan places the tensors and returns the bytes that come before their data.
func (w *Writer) plan(m *Metadata, tensors []Tensor) ([]byte, error) {
	var err error
	if w.alignment, err = alignmentOf(m); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	head := append([]byte(magic), 3, 0, 0, 0)
	head = le.AppendUint64(head, uint64(len(tensors)))
	head = le.AppendUint64(head, uint64(len(m.keys)))
	for _, key := range m.keys {
		if head, err = appendValue(appendString(head, key), m.values[key]); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	names := map[string]bool{}
	var offset int64
	for _, t := range tensors {
		if names[t.Name] {
			return nil, fmt.Errorf("a second tensor %q", t.Name)
		}
		names[t.Name] = true
		if err := complete(&t, offset); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		head = appendTensor(head, t)
		w.tensors = append(w.tensors, t)
		if t.Size > math.MaxInt64/2-offset {
			return nil, fmt.Errorf("tensor %q: the file is too large", t.Name)
		}
		offset = alignUp(offset+t.Size, w.alignment)
	}
	if len(head) > maxHeader {
		return nil, fmt.Errorf("%d bytes before the tensor data, at most %d are possible", len(head), maxHeader)
	}
	head = append(head, make([]byte, alignUp(int64(len(head)), w.alignment)-int64(len(head)))...)
	w.size = int64(len(head)) + offset
	return head, nil
}

// complete checks a tensor and fills in ggml's type, its offset from the beginning of the data, and its size.
func complete(t *Tensor, offset int64) error {
	if t.Name == "" || len(t.Name) > maxName {
		return fmt.Errorf("names have 1 to %d bytes", maxName)
	}
	if len(t.Shape) > maxDims {
		return fmt.Errorf("shape %v has more than %d dimensions", t.Shape, maxDims)
	}
	var ok bool
	if t.GGML, ok = TypeOf(t.Type); !ok {
		return fmt.Errorf("GGUF has no format %v: store the tensor as %v", t.Type, quant.Q8_0)
	}
	t.Offset = offset
	var err error
	t.Size, err = storedSize(t.Type, t.Shape)
	return err
}

func appendTensor(b []byte, t Tensor) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(appendString(b, t.Name), uint32(len(t.Shape)))
	for i := len(t.Shape) - 1; i >= 0; i-- {
		b = le.AppendUint64(b, uint64(t.Shape[i]))
	}
	return le.AppendUint64(le.AppendUint32(b, uint32(t.GGML)), uint64(t.Offset))
}
