package rdrr

import (
	"fmt"

	"shoal/rdrr/quant"
)

// Tensor is a tensor with its stored bytes, row after row in whole blocks of its type.
//
// Data may be mapped from the shard's file: it must not be written to, nor used after the model is closed.
type Tensor struct {
	Name  string
	Type  quant.Type
	Shape []int // outermost first
	Role  Role
	Data  []byte // [Rows(), Type.RowBytes(Cols())]
}

// Rows is the number of rows: the product of all dimensions but the last, 1 for a vector.
func (t *Tensor) Rows() int {
	rows, _ := rowsCols(t.Shape)
	return rows
}

// Cols is the length of a row in weights, without padding.
func (t *Tensor) Cols() int {
	_, cols := rowsCols(t.Shape)
	return cols
}

// Row returns the stored bytes of row i.
func (t *Tensor) Row(i int) []byte {
	n := t.Type.RowBytes(t.Cols())
	return t.Data[i*n : (i+1)*n : (i+1)*n]
}

// Floats decodes the tensor to [Rows(), Cols()] values, owned by the caller.
func (t *Tensor) Floats() ([]float32, error) {
	out := make([]float32, t.Rows()*t.Cols())
	if err := quant.DecodeRows(t.Type, out, t.Data, t.Cols()); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	return out, nil
}

// Expert is one routed expert. The biases are nil if the model has none.
type Expert struct {
	Gate, Up, Down             *Tensor // [intermediate, hidden], [intermediate, hidden], [hidden, intermediate]
	GateBias, UpBias, DownBias *Tensor // [intermediate], [intermediate], [hidden]
}

// Bytes is what the expert takes as stored.
func (e *Expert) Bytes() int64 {
	n := int64(0)
	for _, t := range []*Tensor{e.Gate, e.Up, e.Down, e.GateBias, e.UpBias, e.DownBias} {
		if t != nil {
			n += int64(len(t.Data))
		}
	}
	return n
}
