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

// MatMul runs matmul.wgsl on every part of the matrix, or matmul_block.wgsl for many rows.
func (p *Pass) MatMul(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int) {
	if p.open(gpu.CheckMatMul(dst, x, w, bias, n)) {
		p.product("matmul", dst, x, w, bias, n, gpu.Into{}, 0)
	}
}

// MatMulInto is MatMul with another place for the result.
func (p *Pass) MatMulInto(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, s gpu.Into) {
	if p.open(gpu.CheckMatMulInto(dst, x, w, bias, n, s)) {
		p.product("matmul_into", dst, x, w, bias, n, s, 0)
	}
}

// MatMulGated is MatMul with an activation of pairs of rows.
func (p *Pass) MatMulGated(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, a gpu.Activation) {
	if p.open(gpu.CheckMatMulGated(dst, x, w, bias, n, a)) {
		p.product("matmul_gated", dst, x, w, bias, n, gpu.Into{Stride: w.Rows() / 2}, 1+int(a))
	}
}

// product multiplies with matrix 0 of a stack; kind is the shaders'.
func (p *Pass) product(op string, dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int, s gpu.Into, kind int) {
	m, ok := p.weights(op, w)
	if !ok {
		return
	}
	units := m.layout.units(m.cols)
	tile := shaders.ProductTile(access(m.cols), units, n)
	v := shaders.Product("matmul", m.format.String(), tile)
	block := n >= shaders.ManyRows
	quads := 2
	if n <= shaders.XBlock {
		quads = 1
	}
	if block {
		v = shaders.Block("matmul_block", m.format.String(), tile, quads)
	}
	for i := range m.parts {
		part := &m.parts[i]
		rows := min(part.rows, m.rows-part.first)
		groups := ceil(rows, tileRows(tile)) * ceil(n, tile.XRows)
		if block {
			groups = ceil(rows, shaders.RowBlock) * ceil(n, shaders.XBlock*quads)
		}
		a := words(n, m.cols, units, m.rows, part.first, rows, flag(bias != nil), s.Offset, or(s.Stride, m.rows), kind, flag(s.Add))
		p.dispatchWeights(v, groups, a, part, x, bias, dst)
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

// MatMulExperts runs matmul_experts.wgsl on every part of the stack, or experts_block.wgsl for many slots.
func (p *Pass) MatMulExperts(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, perSlot bool) {
	if p.open(gpu.CheckMatMulExperts(dst, x, w, bias, ids, n, k, perSlot)) {
		p.experts("matmul_experts", dst, x, w, bias, ids, n, k, perSlot, 0)
	}
}

// MatMulExpertsGated is MatMulExperts with an activation of pairs of rows.
func (p *Pass) MatMulExpertsGated(dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, a gpu.Activation) {
	if p.open(gpu.CheckMatMulExpertsGated(dst, x, w, bias, ids, n, k, a)) {
		p.experts("matmul_experts_gated", dst, x, w, bias, ids, n, k, false, 1+int(a))
	}
}

func (p *Pass) experts(op string, dst, x gpu.Buffer, w gpu.Matrix, bias, ids gpu.Buffer, n, k int, perSlot bool, kind int) {
	m, ok := p.weights(op, w)
	if !ok {
		return
	}
	share := k // slots that read one row of x
	if perSlot {
		share = 1
	}
	units := m.layout.units(m.cols)
	tile := shaders.ProductTile(access(m.cols), units, 1)
	if n >= shaders.ManyRows && m.count <= shaders.MaxGroups {
		p.expertsBlock(dst, x, m, bias, ids, n*k, share, tile, kind)
		return
	}
	v := shaders.Product("matmul_experts", m.format.String(), tile)
	for i := range m.parts {
		part := &m.parts[i]
		p.dispatchWeights(v, ceil(m.rows, tileRows(tile))*n*k, words(n*k, share, m.cols, units, m.rows, m.count, part.first, part.rows,
			flag(bias != nil), kind), part, x, bias, ids, dst)
	}
}

// expertsBlock sorts the slots by expert, so that those of an expert share its weights.
func (p *Pass) expertsBlock(dst, x gpu.Buffer, m *Matrix, bias, ids gpu.Buffer, slots, share int, tile shaders.Tile, kind int) {
	blocks := slots/shaders.XBlock + m.count + 1
	order := p.scratch(4 * (4*blocks + slots))
	p.dispatch(shaders.Variant{Op: "group_slots"}, 1, words(slots, m.count, blocks, shaders.XBlock), ids, order)
	v := shaders.Block("experts_block", m.format.String(), tile, 1)
	units := m.layout.units(m.cols)
	for i := range m.parts {
		part := &m.parts[i]
		p.dispatchWeights(v, ceil(m.rows, shaders.RowBlock)*blocks, words(blocks, share, m.cols, units, m.rows, m.count, part.first, part.rows,
			flag(bias != nil), kind), part, x, bias, order, dst)
	}
}

// mostAddRows is for how many rows an expert's last product and the weighted sum are one dispatch: the weights are read once for
// each row.
const mostAddRows = 4

// MatMulExpertsAdd runs experts_add.wgsl for few rows, and else the two operations that it stands for.
func (p *Pass) MatMulExpertsAdd(x, y gpu.Buffer, w gpu.Matrix, bias, ids, weights, scratch gpu.Buffer, n, k int) {
	if !p.open(gpu.CheckMatMulExpertsAdd(x, y, w, bias, ids, weights, scratch, n, k)) {
		return
	}
	m, ok := p.weights("matmul_experts_add", w)
	if !ok {
		return
	}
	if n > mostAddRows || k > shaders.MaxSlots || len(m.parts) > 1 {
		p.MatMulExperts(scratch, y, w, bias, ids, n, k, true)
		p.Combine(x, scratch, weights, n, k, m.rows)
		return
	}
	units := m.layout.units(m.cols)
	v := shaders.ExpertsAdd(m.format.String(), shaders.ProductTile(access(m.cols), units, 1))
	p.dispatchWeights(v, n*ceil(m.rows, v.Rows), words(n, k, m.cols, units, m.rows, m.count, flag(bias != nil)), &m.parts[0], y, bias, ids, weights, x)
}
