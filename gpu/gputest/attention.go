package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/shaders/ref"
)

var attentionCases = []struct {
	gpu.Attention
	sinks  bool
	shared bool // keys and values in one buffer
}{
	{Attention: gpu.Attention{Rows: 1, Heads: 1, KVHeads: 1, KeyDim: 1, ValueDim: 1, KeyStride: 1, ValueStride: 1, Scale: 1}},
	{Attention: gpu.Attention{Rows: 3, Heads: 4, KVHeads: 2, KeyDim: 16, ValueDim: 16, KeyStride: 32, ValueStride: 32, Scale: 0.25}},
	{Attention: gpu.Attention{Rows: 5, Start: 7, Heads: 8, KVHeads: 2, KeyDim: 33, ValueDim: 17, KeyStride: 70, ValueStride: 41, Scale: 0.17}},
	{Attention: gpu.Attention{Rows: 17, Heads: 6, KVHeads: 6, KeyDim: 24, ValueDim: 24, KeyStride: 144, ValueStride: 144, Scale: 0.2}},
	{Attention: gpu.Attention{Rows: 17, Start: 40, Heads: 8, KVHeads: 1, KeyDim: 64, ValueDim: 64, KeyStride: 64, ValueStride: 64, Scale: 0.125, Window: 8}, sinks: true},
	{Attention: gpu.Attention{Rows: 5, Start: 2, Heads: 4, KVHeads: 4, KeyDim: 64, ValueDim: 64, KeyStride: 256, ValueStride: 256, Scale: 0.125, Window: 1}, sinks: true},
	{Attention: gpu.Attention{Rows: 2, Start: 129, Heads: 4, KVHeads: 2, KeyDim: 128, ValueDim: 128, KeyStride: 256, ValueStride: 256, Scale: 0.088, SoftCap: 30}},
	{Attention: gpu.Attention{Rows: 1, Start: 1500, Heads: 4, KVHeads: 2, KeyDim: 64, ValueDim: 64, KeyStride: 128, ValueStride: 128, Scale: 0.125}},
	{Attention: gpu.Attention{Rows: 1, Start: 700, Heads: 4, KVHeads: 2, KeyDim: 32, ValueDim: 32, KeyStride: 64, ValueStride: 64, Scale: 0.3, Window: 300, SoftCap: 50}, sinks: true},
	{Attention: gpu.Attention{Rows: 70, Start: 3, Heads: 2, KVHeads: 1, KeyDim: 16, ValueDim: 16, KeyStride: 16, ValueStride: 16, Scale: 0.25}},
	{Attention: gpu.Attention{Rows: 3, Start: 20, Heads: 3, KVHeads: 1, KeyDim: 192, ValueDim: 128, KeyStride: 192, ValueStride: 128, Scale: 0.07}},
	// MLA with absorbed weights: one latent head; the values are the first part of the keys.
	{Attention: gpu.Attention{Rows: 5, Start: 11, Heads: 5, KVHeads: 1, KeyDim: 40, ValueDim: 32, KeyStride: 40, ValueStride: 40, Scale: 0.1}, shared: true},
	{Attention: gpu.Attention{Rows: 2, Start: 9, Heads: 3, KVHeads: 1, KeyDim: 576, ValueDim: 512, KeyStride: 576, ValueStride: 576, Scale: 0.07}, shared: true},
}

// cache is random attention input. The cache reaches beyond the last position: what lies there, left by a sequence that was
// truncated, must not count.
type cache struct{ q, keys, values, sinks []float32 }

func (s *suite) cache(c gpu.Attention, sinks, shared bool) cache {
	positions := c.Start + c.Rows
	in := cache{q: s.normal(c.Rows * c.Heads * c.KeyDim), keys: s.normal((positions + 3) * c.KeyStride)}
	for i := range in.keys[positions*c.KeyStride:] {
		in.keys[positions*c.KeyStride+i] = 1e4
	}
	in.values = in.keys
	if !shared {
		in.values = s.normal((positions + 3) * c.ValueStride)
		for i := range in.values[positions*c.ValueStride:] {
			in.values[positions*c.ValueStride+i] = 1e4
		}
	}
	if sinks {
		in.sinks = s.normal(c.Heads)
	}
	return in
}

// attend runs one case.
func (s *suite) attend(c gpu.Attention, in cache, shared bool) []float32 {
	s.Helper()
	dst, q, keys := s.output(c.Rows*c.Heads*c.ValueDim+3), s.floats(in.q), s.floats(in.keys)
	values := keys
	if !shared {
		values = s.floats(in.values)
	}
	var sinks gpu.Buffer
	if in.sinks != nil {
		sinks = s.floats(in.sinks)
	}
	got := s.run(dst, func(p gpu.Pass) { p.Attention(dst, q, keys, values, sinks, c) })
	s.free()
	return got
}

func testAttention(s *suite) {
	for _, c := range attentionCases {
		in := s.cache(c.Attention, c.sinks, c.shared)
		want := filled(c.Rows*c.Heads*c.ValueDim+3, untouched)
		ref.Attention(want, in.q, in.keys, in.values, in.sinks, ref.Heads(c.Attention))
		bounds := attentionBounds(c.Attention, in)
		s.near(fmt.Sprintf("%+v sinks %t", c.Attention, c.sinks), s.attend(c.Attention, in, c.shared), want, func(i int) float64 {
			if i/c.ValueDim >= len(bounds) {
				return exact(i)
			}
			return bounds[i/c.ValueDim]
		})
	}
}

// attentionBounds bounds the error of each head of each row. A score is a scaled dot product, off by e = gamma(KeyDim+4) *
// scale * sum |q||k|, plus, with a soft cap (whose slope is at most 1), SoftCap * tanhError; so the difference to the greatest
// score is off by 2e, and exp of it relatively by that, by its own error over the range of scores, and by the rescaling that
// an online softmax does (one exp and product for each of at most log-many or P blocks, which the range and gamma(2P) cover).
// The result is a mean of values under weights with that relative error in numerator and denominator each.
func attentionBounds(c gpu.Attention, in cache) []float64 {
	bounds := make([]float64, c.Rows*c.Heads)
	for i := range bounds {
		row, kv := i/c.Heads, i%c.Heads/(c.Heads/c.KVHeads)
		last, first := c.Start+row, 0
		if c.Window > 0 {
			first = max(0, last-c.Window+1)
		}
		q := in.q[i*c.KeyDim:][:c.KeyDim]
		var score, top, value float64
		for p := first; p <= last; p++ {
			var dot, sum float64
			for d, k := range in.keys[p*c.KeyStride+kv*c.KeyDim:][:c.KeyDim] {
				dot += float64(q[d]) * float64(k)
				sum += math.Abs(float64(q[d]) * float64(k))
			}
			score = max(score, gamma(c.KeyDim+4)*sum*float64(c.Scale))
			top = max(top, math.Abs(dot)*float64(c.Scale))
			value = max(value, maxAbs(in.values[p*c.ValueStride+kv*c.ValueDim:][:c.ValueDim]))
		}
		if in.sinks != nil {
			top = max(top, math.Abs(float64(in.sinks[i%c.Heads])))
		}
		if c.SoftCap > 0 {
			score += float64(c.SoftCap) * tanhError
		}
		weight := 2*score + expError(2*top) + gamma(2*(last-first+1)+8)
		bounds[i] = 2 * weight * value
	}
	return bounds
}

// testAttentionRowsAlone computes every row of the batches alone, at its own start: the bits must be equal.
func testAttentionRowsAlone(s *suite) {
	for _, c := range attentionCases {
		in := s.cache(c.Attention, c.sinks, c.shared)
		all := s.attend(c.Attention, in, c.shared)
		for i := 0; i < c.Rows; i += 1 + c.Rows/6 {
			alone, row := c.Attention, in
			alone.Rows, alone.Start = 1, c.Start+i
			row.q = in.q[i*c.Heads*c.KeyDim:][:c.Heads*c.KeyDim]
			width := c.Heads * c.ValueDim
			s.equal(fmt.Sprintf("%+v: row %d alone", c.Attention, i), s.attend(alone, row, c.shared)[:width], all[i*width:][:width])
		}
	}
}
