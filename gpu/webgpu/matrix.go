//go:build cgo

package webgpu

import (
	"fmt"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// Matrix is a stack of weight matrices, seen as one matrix of count*rows rows and split at row borders into parts that a
// shader can bind.
type Matrix struct {
	dev               *Device
	label             string
	format            quant.Type
	layout            layout
	count, rows, cols int
	parts             []part
}

// part is consecutive rows of a stack: its main plane, then its plane of scales.
type part struct {
	m           *memory
	first, rows int
	main, scale span // scale.size is 0 if the format has no such plane
}

// planeAlign is the largest alignment that WebGPU lets an adapter demand of a binding's offset.
const planeAlign = 256

// NewMatrix returns space for a stack of matrices.
func (d *Device) NewMatrix(label string, t quant.Type, count, rows, cols int) (gpu.Matrix, error) {
	l, ok := layouts[t]
	if !ok {
		return nil, fmt.Errorf("matrix %s: number format %v is unknown to this device", label, t)
	}
	const most = 1 << 31 // rows of a stack: shaders count them in 32 bits
	if count < 1 || rows < 1 || cols < 1 || cols > most || rows > most/count {
		return nil, fmt.Errorf("matrix %s: shape [%d, %d, %d]", label, count, rows, cols)
	}
	w := &Matrix{dev: d, label: label, format: t, layout: l, count: count, rows: rows, cols: cols}
	row := int64(l.mainBytes(cols))
	perPart := min(d.bindingLimit/row, (d.bufferLimit-planeAlign)/(row+int64(l.scaleBytes(cols))))
	if perPart > 1 {
		perPart -= perPart % 2 // a part does not split a pair of rows, as gated products have them
	}
	if perPart == 0 {
		return nil, fmt.Errorf("matrix %s: a row of %d bytes is beyond the %d that a shader sees", label, row, d.bindingLimit)
	}
	err := d.call(func() error {
		for first := 0; first < count*rows; {
			p := part{first: first, rows: int(min(perPart, int64(count*rows-first)))}
			main := p.rows * l.mainBytes(cols)
			at := (main + planeAlign - 1) / planeAlign * planeAlign
			scales := p.rows * l.scaleBytes(cols)
			size := main
			if scales > 0 {
				size = at + scales
			}
			m, err := d.allocate("matrix "+label, size, storage)
			if err != nil {
				return err
			}
			p.m, p.main, p.scale = m, span{m, 0, main}, span{m, at, scales}
			w.parts = append(w.parts, p)
			first += p.rows
		}
		return nil
	})
	if err != nil {
		w.Free()
		return nil, err
	}
	return w, nil
}

// Type is the format of the weights.
func (w *Matrix) Type() quant.Type { return w.format }

// Count is the number of matrices.
func (w *Matrix) Count() int { return w.count }

// Rows is the number of rows of one matrix.
func (w *Matrix) Rows() int { return w.rows }

// Cols is the number of columns.
func (w *Matrix) Cols() int { return w.cols }

// Bytes is the memory of the whole stack.
func (w *Matrix) Bytes() int64 {
	var n int64
	for _, p := range w.parts {
		n += int64(p.m.size)
	}
	return n
}

// Free returns the memory.
func (w *Matrix) Free() {
	for _, p := range w.parts {
		w.dev.free(p.m)
	}
}

// loadPiece is about how many bytes of a plane are laid out at a time.
const loadPiece = 4 << 20

// Load replaces matrix i.
func (w *Matrix) Load(i int, data []byte) error {
	stored := w.format.RowBytes(w.cols)
	if i < 0 || i >= w.count {
		return fmt.Errorf("matrix %s: number %d of %d", w.label, i, w.count)
	}
	if len(data) != w.rows*stored {
		return fmt.Errorf("matrix %s: %d bytes, want %d rows of %d", w.label, len(data), w.rows, stored)
	}
	l := w.layout
	mainRow, scaleRow := l.mainBytes(w.cols), l.scaleBytes(w.cols)
	step := max(1, loadPiece/mainRow)
	var main, scales []byte
	for _, p := range w.parts {
		for row := max(p.first, i*w.rows); row < min(p.first+p.rows, (i+1)*w.rows); {
			n := min(step, p.first+p.rows-row, (i+1)*w.rows-row)
			from := data[(row-i*w.rows)*stored:][:n*stored]
			if l.plain(stored, w.cols) {
				main = from
			} else {
				if main == nil {
					main, scales = make([]byte, step*mainRow), make([]byte, step*scaleRow)
				}
				main, scales = main[:n*mainRow], scales[:n*scaleRow]
				for r := range n {
					l.split(main[r*mainRow:][:mainRow], scales[r*scaleRow:][:scaleRow], from[r*stored:][:stored], w.format.BlockBytes())
				}
			}
			err := w.dev.call(func() error {
				if err := w.dev.write(p.m, (row-p.first)*mainRow, main); err != nil {
					return err
				}
				return w.dev.write(p.m, p.scale.offset+(row-p.first)*scaleRow, scales)
			})
			if err != nil {
				return fmt.Errorf("matrix %s: load %d: %w", w.label, i, err)
			}
			row += n
		}
	}
	return nil
}

// ownMatrix returns a matrix of this device.
func (d *Device) ownMatrix(w gpu.Matrix) (*Matrix, error) {
	if ours, ok := w.(*Matrix); ok && ours.dev == d {
		return ours, nil
	}
	return nil, fmt.Errorf("a matrix of another device (%T)", w)
}
