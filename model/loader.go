package model

import (
	"fmt"
	"slices"

	"shoal/gpu"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// loader puts tensors on a device. After the first error it does nothing; the caller looks at err once, at the end.
type loader struct {
	dev   gpu.Device
	model *rdrr.Model
	freed []func() // releases what was loaded
	err   error
}

func (ld *loader) fail(name string, err error) {
	if ld.err == nil {
		ld.err = fmt.Errorf("tensor %s: %w", name, err)
	}
}

// tensor returns a tensor of the shape that the architecture gives it, nil after an error.
func (ld *loader) tensor(name string, shape ...int) *rdrr.Tensor {
	if ld.err != nil {
		return nil
	}
	t, err := ld.model.Tensor(name)
	if err != nil {
		ld.err = err
		return nil
	}
	if !slices.Equal(t.Shape, shape) {
		ld.fail(name, fmt.Errorf("shape %v, the architecture wants %v", t.Shape, shape))
		return nil
	}
	return t
}

// matrix loads a weight matrix in its stored format.
func (ld *loader) matrix(name string, rows, cols int) gpu.Matrix {
	t := ld.tensor(name, rows, cols)
	if t == nil {
		return nil
	}
	w := ld.stack(name, t.Type, 1, rows, cols)
	if w != nil {
		ld.keep(name, w, 0, t.Data)
	}
	return w
}

// stack makes an empty stack of matrices, to be filled.
func (ld *loader) stack(name string, t quant.Type, count, rows, cols int) gpu.Matrix {
	if ld.err != nil {
		return nil
	}
	w, err := ld.dev.NewMatrix(name, t, count, rows, cols)
	if err != nil {
		ld.fail(name, err)
		return nil
	}
	ld.freed = append(ld.freed, w.Free)
	return w
}

// keep fills matrix i with bytes of the artifact, which a device that reads host memory may use where they lie.
func (ld *loader) keep(name string, w gpu.Matrix, i int, data []byte) {
	a, ok := w.(gpu.Aliaser)
	if !ok {
		ld.fill(name, w, i, data)
		return
	}
	if ld.err != nil {
		return
	}
	if err := a.Alias(i, data); err != nil {
		ld.fail(name, err)
	}
}

// fill copies bytes to matrix i.
func (ld *loader) fill(name string, w gpu.Matrix, i int, data []byte) {
	if ld.err != nil {
		return
	}
	if err := w.Load(i, data); err != nil {
		ld.fail(name, err)
	}
}

// vector loads a one-dimensional tensor as floats, with plus added to each.
func (ld *loader) vector(name string, n int, plus float32) gpu.Buffer {
	t := ld.tensor(name, n)
	if t == nil {
		return nil
	}
	values, err := t.Floats()
	if err != nil {
		ld.fail(name, err)
		return nil
	}
	for i := range values {
		values[i] += plus
	}
	b, err := ld.dev.NewBuffer(name, gpu.F32, n)
	if err != nil {
		ld.fail(name, err)
		return nil
	}
	ld.freed = append(ld.freed, b.Free)
	if err := ld.dev.WriteFloats(b, 0, values); err != nil {
		ld.fail(name, err)
	}
	return b
}

func (ld *loader) norm(name string, kind Norm, width int) norm {
	n := norm{Norm: kind, width: width}
	plus := float32(0)
	if kind.PlusOne {
		plus = 1
	}
	n.weight = ld.vector(name+".weight", width, plus)
	if kind.Centred {
		n.bias = ld.vector(name+".bias", width, 0)
	}
	return n
}

func (ld *loader) linear(name string, rows, cols int, bias bool) linear {
	l := linear{w: ld.matrix(name+".weight", rows, cols)}
	if bias {
		l.bias = ld.vector(name+".bias", rows, 0)
	}
	return l
}
