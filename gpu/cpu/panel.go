package cpu

import "shoal/rdrr/quant"

// # Products with vector instructions
//
// A panel is eight rows of decoded weights, [groups of 8 columns][8 rows][8 columns]: what a kernel needs for one group of columns
// lies together. Each row and vector has an accumulator of eight lanes, so that the order of dot is kept; zeros pad the last group,
// as adding a zero product to a lane changes no bit of it (a lane starts at +0 and can never become -0).
//
// Panels are panelCols columns long, to stay in the first-level cache while the vectors pass by, and these are taken in blocks that
// stay in the second level while all panels of a task pass by.
const (
	panelRows   = 8
	panelCols   = 256       // a multiple of every block size
	vectorBytes = 512 << 10 // bytes of a block of vectors
	maxVectors  = 64        // of a block; accumulators of 256 bytes for each
)

// panels is a goroutine's memory for them.
type panels struct {
	weights [panelRows * panelCols]float32
	acc     [maxVectors * panelRows * 8]float32
	out     [maxVectors * panelRows]float32
	last    [maxVectors][8]float32 // the last group of columns of each vector, padded
	x       [maxVectors]*float32
}

// fewVectors is how many vectors are multiplied one by one: decoding twice costs less than decoding to memory.
const fewVectors = 2

// multiplyVectors computes rows from to before to of a product with few vectors, two rows at a time, without decoding to memory.
func (m *matrix) multiplyVectors(k *kernels, p *product, from, to int) {
	f, steps := k.of(m.format), m.cols/k.of(m.format).weights
	for r := from; r < to; r += 2 {
		next := min(r+1, to-1)
		for i, x := range p.in {
			a, b := f.dot(first(p.data, r*m.stride), first(p.data, next*m.stride), &x[0], steps)
			p.out[i][next] = plus(b, p.bias, next)
			p.out[i][r] = plus(a, p.bias, r)
		}
	}
}

// multiplyPanels computes rows from to before to of a product with any number of vectors.
func (m *matrix) multiplyPanels(k *kernels, p *product, from, to int, s *panels) {
	block := max(k.tile, min(maxVectors, vectorBytes/(4*m.cols)/k.tile*k.tile))
	for i := 0; i < len(p.in); i += block {
		in, out := p.in[i:min(i+block, len(p.in))], p.out[i:]
		for r := from; r < to; r += panelRows {
			rows := min(panelRows, to-r)
			m.multiplyPanel(k, p.data, in, r, rows, s)
			for j := range in {
				for l := range rows {
					out[j][r+l] = plus(s.out[j*panelRows+l], p.bias, r+l)
				}
			}
		}
	}
}

// multiplyPanel leaves the products of rows from r on with the vectors at s.out [vectors][panelRows].
func (m *matrix) multiplyPanel(k *kernels, data []byte, in [][]float32, r, rows int, s *panels) {
	if rows < panelRows {
		clear(s.weights[:]) // what is left there could be slow to multiply with
	}
	clear(s.acc[:len(in)*panelRows*8])
	for c := 0; c < m.cols; c += panelCols {
		cols := min(panelCols, m.cols-c)
		for l := range rows {
			from := (r+l)*m.stride + c/m.format.BlockSize()*m.format.BlockBytes()
			m.decodeRow(k, s, l, data[from:(r+l+1)*m.stride], cols)
		}
		for i := 0; i < len(in); i += k.tile {
			x := s.x[:min(k.tile, len(in)-i)]
			if whole := cols / 8; whole > 0 {
				for j := range x {
					x[j] = first(in[i+j], c)
				}
				k.panel(&s.acc[i*panelRows*8], &s.weights[0], x, whole)
			}
			if over := cols % 8; over > 0 {
				for j := range x {
					s.last[j] = [8]float32{}
					copy(s.last[j][:], in[i+j][c+cols-over:c+cols])
					x[j] = &s.last[j][0]
				}
				k.panel(&s.acc[i*panelRows*8], &s.weights[cols/8*panelRows*8], x, 1)
			}
		}
	}
	k.reduce(&s.out[0], &s.acc[0], len(in)*panelRows)
}

// decodeRow decodes cols weights to row l of the panel.
func (m *matrix) decodeRow(k *kernels, s *panels, l int, src []byte, cols int) {
	f := k.of(m.format)
	steps := cols / f.weights
	if steps > 0 {
		f.decode(&s.weights[l*8], &src[0], steps)
	}
	if done := steps * f.weights; done < cols {
		var w [256]float32 // more than any format's step
		quant.Decode(m.format, w[:cols-done], src[steps*f.bytes:])
		for c := 0; c < cols-done; c += 8 {
			copy(s.weights[(done+c)*panelRows+l*8:][:8], w[c:c+8])
		}
	}
}
