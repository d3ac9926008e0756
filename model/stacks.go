package model

import (
	"shoal/gpu"
	"shoal/rdrr"
)

// On a device that says so (gpu.Info.Stacks) projections that read the same input are stacked as they are loaded, those at least
// that have one format: one large product takes hardly longer than one of its parts.

// joint loads projections with these numbers of rows one under the other: neighbours of one format as one matrix.
func (ld *loader) joint(names []string, rows []int, cols int, bias bool) (list []jointRows) {
	first := 0
	for i := 0; i < len(names); {
		var data []byte
		var biases []float32
		total, kind := 0, ld.tensor(names[i]+".weight", rows[i], cols)
		for ; i < len(names); i++ {
			t := ld.tensor(names[i]+".weight", rows[i], cols)
			if t == nil || kind == nil {
				return nil
			}
			if t.Type != kind.Type {
				break
			}
			data, total = append(data, t.Data...), total+rows[i]
			if bias {
				biases = append(biases, ld.values(names[i]+".bias", rows[i])...)
			}
		}
		part := jointRows{first: first}
		if part.w = ld.stack(kind.Name, kind.Type, 1, total, cols); part.w != nil {
			ld.fill(kind.Name, part.w, 0, data)
		}
		if bias {
			part.bias = ld.buffer(kind.Name+" bias", biases)
		}
		list = append(list, part)
		first += total
	}
	return list
}

// values reads a one-dimensional tensor, nil after an error.
func (ld *loader) values(name string, n int) []float32 {
	t := ld.tensor(name, n)
	if t == nil {
		return nil
	}
	values, err := t.Floats()
	if err != nil {
		ld.fail(name, err)
	}
	return values
}

// buffer puts values on the device.
func (ld *loader) buffer(name string, values []float32) gpu.Buffer {
	if ld.err != nil {
		return nil
	}
	b, err := ld.dev.NewBuffer(name, gpu.F32, len(values))
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

// pairs loads the rows of two matrices in turn as one matrix, as gpu.Pass.MatMulGated takes them; nil if they differ in format.
func (ld *loader) pairs(gate, up string, rows, cols int) gpu.Matrix {
	g, u := ld.tensor(gate, rows, cols), ld.tensor(up, rows, cols)
	if g == nil || u == nil || g.Type != u.Type {
		return nil
	}
	w := ld.stack(gate, g.Type, 1, 2*rows, cols)
	if w != nil {
		ld.fill(gate, w, 0, rdrr.Interleave(g.Data, u.Data, rows))
	}
	return w
}
