package cpu

import (
	"sync"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// product is one weight matrix times several vectors: out[i][r] = w[r, :] * in[i] + bias[r].
type product struct {
	data []byte // rows of weights, nil: zeros
	bias []float32
	in   [][]float32
	out  [][]float32

	rounded [][]chunk // of each vector, with 8-bit activations
}

// MatMul implements gpu.Pass.
func (p *pass) MatMul(dst, x gpu.Buffer, w gpu.Matrix, bias gpu.Buffer, n int) {
	if !p.ok("matmul", gpu.CheckMatMul(dst, x, w, bias, n), dst, x, bias) {
		return
	}
	if m, ok := p.matrix("matmul", w); ok {
		p.record(func() {
			p.dev.multiply(m, []product{{data: m.data[0], bias: floats(bias), in: rowsOf(floats(x), n, m.cols), out: rowsOf(floats(dst), n, m.rows)}})
		})
	}
}

// MatMulEach implements gpu.Pass.
func (p *pass) MatMulEach(dst, x gpu.Buffer, w gpu.Matrix, s gpu.Slices) {
	if !p.ok("matmul_each", gpu.CheckMatMulEach(dst, x, w, s), dst, x) {
		return
	}
	m, ok := p.matrix("matmul_each", w)
	if !ok {
		return
	}
	s = s.Packed(m.count, m.rows, m.cols)
	p.record(func() {
		products := make([]product, m.count)
		for j := range products {
			products[j] = product{data: m.data[j], in: make([][]float32, s.Rows), out: make([][]float32, s.Rows)}
			for i := range s.Rows {
				products[j].in[i] = floats(x)[s.XOffset+i*s.XRow+j*s.XStride:][:m.cols]
				products[j].out[i] = floats(dst)[s.DOffset+i*s.DRow+j*s.DStride:][:m.rows]
			}
		}
		p.dev.multiply(m, products)
	})
}

// MatMulExperts implements gpu.Pass. Slots are gathered by expert, so that the weights of an expert are decoded once for all
// rows that chose it.
func (p *pass) MatMulExperts(dst, x gpu.Buffer, w gpu.Matrix, bias, chosen gpu.Buffer, n, k int, perSlot bool) {
	if !p.ok("matmul_experts", gpu.CheckMatMulExperts(dst, x, w, bias, chosen, n, k, perSlot), dst, x, bias, chosen) {
		return
	}
	m, ok := p.matrix("matmul_experts", w)
	if !ok {
		return
	}
	p.record(func() {
		at := make(map[uint32]int) // expert to its place in products
		var products []product
		for slot, e := range ids(chosen)[:n*k] {
			out := floats(dst)[slot*m.rows:][:m.rows]
			if int64(e) >= int64(m.count) {
				clear(out)
				continue
			}
			i, seen := at[e]
			if !seen {
				i, products = len(products), append(products, product{data: m.data[e]})
				at[e] = i
				if bias != nil {
					products[i].bias = floats(bias)[int(e)*m.rows:][:m.rows]
				}
			}
			from := slot
			if !perSlot {
				from = slot / k
			}
			products[i].in = append(products[i].in, floats(x)[from*m.cols:][:m.cols])
			products[i].out = append(products[i].out, out)
		}
		p.dev.multiply(m, products)
	})
}

// rowsOf cuts x into n rows of width elements.
func rowsOf(x []float32, n, width int) [][]float32 {
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = x[i*width:][:width]
	}
	return rows
}

// rowBlock is how many rows of weights are decoded at a time in a batch: with 2048 columns they take 64 KiB, and stay in the
// second-level cache while the vectors of the batch pass by, each read once for all of them.
const rowBlock = 8

// multiply computes products of one shape. The rows of all of them, in blocks, are shared out among the pool.
func (d *Device) multiply(m *matrix, products []product) {
	blocks := (m.rows + rowBlock - 1) / rowBlock
	cost := 0 // of a block, on average
	for _, p := range products {
		cost += rowBlock * m.cols * (len(p.in) + 1)
	}
	if len(products) == 0 {
		return
	}
	cost /= len(products)
	if d.int8 && hasInt8(m.format, m.cols) {
		d.round(products, m.cols)
	}
	if d.kernels != nil {
		cost /= vectorSpeed
	}
	d.pool.split(len(products)*blocks, cost, func(from, to int) {
		s := scratches.Get().(*scratch)
		defer scratches.Put(s)
		for b := from; b < to; { // the blocks of one product at a time
			product, first := b/blocks, b%blocks
			last := min(first+to-b, blocks)
			m.multiplyRows(&products[product], first*rowBlock, min(last*rowBlock, m.rows), s)
			b += last - first
		}
	})
}

// vectorSpeed is how many times more multiply-adds than Go code vector instructions do in the same time, or less.
const vectorSpeed = 32

// multiplyRows computes rows from to before to of a product.
func (m *matrix) multiplyRows(p *product, from, to int, s *scratch) {
	if p.data == nil {
		for i := range p.out {
			for r := from; r < to; r++ {
				p.out[i][r] = plus(0, p.bias, r)
			}
		}
		return
	}
	if p.rounded != nil {
		m.multiplyInt8(m.dev.kernels, p, from, to)
		return
	}
	if k := m.dev.kernels; k != nil {
		if len(p.in) <= fewVectors && m.cols%k.of(m.format).weights == 0 {
			m.multiplyVectors(k, p, from, to)
		} else {
			m.multiplyPanels(k, p, from, to, &s.panels)
		}
		return
	}
	for r := from; r < to; r += rowBlock {
		m.multiplyBlock(p, r, min(r+rowBlock, to), s)
	}
}

// multiplyBlock is multiplyRows in Go, for up to rowBlock rows.
func (m *matrix) multiplyBlock(p *product, from, to int, s *scratch) {
	if direct := dots[m.format]; len(p.in) == 1 && direct != nil && m.cols%m.format.BlockSize() == 0 {
		x, out := p.in[0], p.out[0]
		for r := from; r < to; r++ {
			out[r] = plus(direct(p.data[r*m.stride:][:m.stride], x), p.bias, r)
		}
		return
	}
	weights := s.floats((to - from) * m.cols)
	for r := from; r < to; r++ {
		quant.Decode(m.format, weights[(r-from)*m.cols:][:m.cols], p.data[r*m.stride:][:m.stride])
	}
	for i, x := range p.in {
		out := p.out[i][from:to]
		for r := range out {
			out[r] = plus(dot(weights[r*m.cols:][:m.cols], x), p.bias, from+r)
		}
	}
}

func plus(v float32, bias []float32, r int) float32 {
	if bias == nil {
		return v
	}
	return v + bias[r]
}

// scratch is a goroutine's memory for decoded weights or scores, kept between operations.
type scratch struct {
	mem    []float32
	panels panels
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// floats returns n elements of any content.
func (s *scratch) floats(n int) []float32 {
	if cap(s.mem) < n {
		s.mem = make([]float32, n)
	}
	return s.mem[:n]
}
