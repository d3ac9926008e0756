//go:build cgo

package webgpu

import (
	"fmt"

	"shoal/gpu"
	"shoal/shaders"
)

// productThreads is the size of a workgroup of the matrix products, THREADS of tile.wgsl.
const productThreads = 64

// weights returns the matrix as one of this device.
func (p *Pass) weights(op string, w gpu.Matrix) (*Matrix, bool) {
	ours, err := p.dev.ownMatrix(w)
	if err != nil {
		p.err = fmt.Errorf("%s: %w", op, err)
	}
	return ours, err == nil
}

// access tells how activations may be read whose widths, strides and offsets are these.
func access(lengths ...int) shaders.Access {
	for _, n := range lengths {
		if n%4 != 0 {
			return shaders.Scalar
		}
	}
	return shaders.Vec4
}

// tileRows is how many weight rows a workgroup takes.
func tileRows(t shaders.Tile) int { return productThreads / t.Lanes * t.Rows }

// Embed runs embed.wgsl on every part of the table.
func (p *Pass) Embed(dst gpu.Buffer, table gpu.Matrix, ids gpu.Buffer, n int, scale float32) {
	if !p.open(gpu.CheckEmbed(dst, table, ids, n)) {
		return
	}
	w, ok := p.weights("embed", table)
	if !ok {
		return
	}
	units := w.layout.units(w.cols)
	for i := range w.parts {
		part := &w.parts[i]
		a := words(n, w.cols, units, w.rows, part.first, min(part.rows, w.rows-part.first))
		a[6] = bits(scale)
		p.dispatchWeights(shaders.Variant{Op: "embed", Format: w.format.String()}, ceil(n*units, 64), a, part, ids, dst)
		if part.first+part.rows >= w.rows {
			break // the table is matrix 0 of the stack
		}
	}
}

// MatMul runs matmul.wgsl on every part of the matrix.
func (p *Pass) MatMul(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int) {
	if !p.open(gpu.CheckMatMul(dst, x, w, bias, n)) {
		return
	}
	m, ok := p.weights("matmul", w)
	if !ok {
		return
	}
	units := m.layout.units(m.cols)
	tile := shaders.ProductTile(access(m.cols), units, n)
	v := shaders.Product("matmul", m.format.String(), tile)
	for i := range m.parts {
		part := &m.parts[i]
		rows := min(part.rows, m.rows-part.first)
		groups := ceil(rows, tileRows(tile)) * ceil(n, tile.XRows)
		p.dispatchWeights(v, groups, words(n, m.cols, units, m.rows, part.first, rows, flag(bias != nil)), part, x, bias, dst)
		if part.first+part.rows >= m.rows {
			break // the product is with matrix 0 of the stack
		}
	}
}

// MatMulEach runs matmul_each.wgsl on every part of the stack.
func (p *Pass) MatMulEach(dst, x gpu.Buffer, w gpu.Matrix, s gpu.Slices) {
	if !p.open(gpu.CheckMatMulEach(dst, x, w, s)) {
		return
	}
	m, ok := p.weights("matmul_each", w)
	if !ok {
		return
	}
	s = s.Packed(m.count, m.rows, m.cols)
	units := m.layout.units(m.cols)
	tile := shaders.ProductTile(access(m.cols, s.XOffset, s.XStride, s.XRow), units, 1)
	v := shaders.Product("matmul_each", m.format.String(), tile)
	for i := range m.parts {
		part := &m.parts[i]
		p.dispatchWeights(v, ceil(m.rows, tileRows(tile))*m.count*s.Rows, words(s.Rows, m.cols, units, m.rows, m.count, part.first, part.rows,
			s.XOffset, s.XStride, s.XRow, s.DOffset, s.DStride, s.DRow), part, x, dst)
	}
}

// MatMulExperts runs matmul_experts.wgsl on every part of the stack.
func (p *Pass) MatMulExperts(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, perSlot bool) {
	if !p.open(gpu.CheckMatMulExperts(dst, x, w, bias, ids, n, k, perSlot)) {
		return
	}
	m, ok := p.weights("matmul_experts", w)
	if !ok {
		return
	}
	share := k // slots that read one row of x
	if perSlot {
		share = 1
	}
	units := m.layout.units(m.cols)
	tile := shaders.ProductTile(access(m.cols), units, 1)
	v := shaders.Product("matmul_experts", m.format.String(), tile)
	for i := range m.parts {
		part := &m.parts[i]
		p.dispatchWeights(v, ceil(m.rows, tileRows(tile))*n*k, words(n*k, share, m.cols, units, m.rows, m.count, part.first, part.rows,
			flag(bias != nil)), part, x, bias, ids, dst)
	}
}
