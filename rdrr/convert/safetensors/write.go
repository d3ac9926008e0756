package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Data is a tensor to be written.
type Data struct {
	Name  string
	DType DType
	Shape []int
	Bytes []byte // little endian
}

// Write writes a file of the given tensors, in that order. The JSON is padded with spaces so that the data is 8-byte aligned.
func Write(w io.Writer, tensors []Data, metadata map[string]string) error {
	type wire struct {
		DType   DType    `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]any{}
	if len(metadata) > 0 {
		header["__metadata__"] = metadata
	}
	off := int64(0)
	for _, t := range tensors {
		if _, ok := header[t.Name]; ok {
			return fmt.Errorf("write safetensors: tensor %s is there twice", t.Name)
		}
		shape := append([]int{}, t.Shape...) // [] and not null for a scalar
		header[t.Name] = wire{t.DType, shape, [2]int64{off, off + int64(len(t.Bytes))}}
		off += int64(len(t.Bytes))
	}
	b, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	b = append(b, strings.Repeat(" ", -len(b)&7)...)
	if _, _, err := parseHeader(b, off); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if err := binary.Write(w, binary.LittleEndian, uint64(len(b))); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Bytes); err != nil {
			return err
		}
	}
	return nil
}
