package setup

import (
	"fmt"

	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/rdrr/quant"
)

// NewDecoded returns a CPU device that keeps every matrix decoded to float32: what a model computes there is what its stored
// weights mean, without any arithmetic on blocks. It is the reference for an artifact that has no other.
func NewDecoded(threads int) gpu.Device { return decodedDevice{cpu.New(threads)} }

type decodedDevice struct{ gpu.Device }

// decodedMatrix is a float32 matrix that is loaded from rows of another format.
type decodedMatrix struct {
	gpu.Matrix
	stored quant.Type
}

func (d decodedDevice) NewMatrix(label string, t quant.Type, count, rows, cols int) (gpu.Matrix, error) {
	m, err := d.Device.NewMatrix(label, quant.F32, count, rows, cols)
	if err != nil {
		return nil, err
	}
	return decodedMatrix{m, t}, nil
}

// Type is the format that Load takes.
func (m decodedMatrix) Type() quant.Type { return m.stored }

func (m decodedMatrix) Load(i int, data []byte) error {
	from, to := m.stored.RowBytes(m.Cols()), quant.F32.RowBytes(m.Cols())
	if len(data) != from*m.Rows() {
		return fmt.Errorf("%d bytes for %d rows of %d", len(data), m.Rows(), from)
	}
	row := make([]float32, m.Cols())
	decoded := make([]byte, to*m.Rows())
	for r := range m.Rows() {
		quant.Decode(m.stored, row, data[r*from:(r+1)*from])
		quant.Encode(quant.F32, decoded[r*to:(r+1)*to], row)
	}
	return m.Matrix.Load(i, decoded)
}

func (d decodedDevice) Begin() gpu.Pass { return decodedPass{d.Device.Begin()} }

// decodedPass hands the device's own matrices to its pass.
type decodedPass struct{ gpu.Pass }

func own(w gpu.Matrix) gpu.Matrix {
	if m, ok := w.(decodedMatrix); ok {
		return m.Matrix
	}
	return w
}

func (p decodedPass) Embed(dst gpu.Buffer, table gpu.Matrix, ids gpu.Buffer, n int, scale float32) {
	p.Pass.Embed(dst, own(table), ids, n, scale)
}

func (p decodedPass) MatMul(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int) {
	p.Pass.MatMul(dst, x, own(w), bias, n)
}

func (p decodedPass) MatMulEach(dst, x gpu.Buffer, w gpu.Matrix, s gpu.Slices) {
	p.Pass.MatMulEach(dst, x, own(w), s)
}

func (p decodedPass) MatMulExperts(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, perSlot bool) {
	p.Pass.MatMulExperts(dst, x, own(w), bias, ids, n, k, perSlot)
}

func (p decodedPass) MatMulInto(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, s gpu.Into) {
	p.Pass.MatMulInto(dst, x, own(w), bias, n, s)
}

func (p decodedPass) MatMulGated(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, a gpu.Activation) {
	p.Pass.MatMulGated(dst, x, own(w), bias, n, a)
}

func (p decodedPass) MatMulExpertsGated(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, a gpu.Activation) {
	p.Pass.MatMulExpertsGated(dst, x, own(w), bias, ids, n, k, a)
}

func (p decodedPass) MatMulExpertsAdd(x, y gpu.Buffer, w gpu.Matrix, bias, ids, weights, scratch gpu.Buffer, n, k int) {
	p.Pass.MatMulExpertsAdd(x, y, own(w), bias, ids, weights, scratch, n, k)
}
