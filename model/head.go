package model

import (
	"fmt"
	"math"

	"shoal/gpu"
)

// Logits ends a step: final norm and head of the last row [vocab], or of all rows [n, vocab].
func (s *Sequence) Logits(all bool) ([]float32, error) {
	var out []float32
	err := s.head(all, func(rows int) gpu.Readback {
		vocab := s.t.spec.Vocab
		out = append(out, make([]float32, rows*vocab)...)
		return gpu.Readback{From: s.step.b.logits, Floats: out[len(out)-rows*vocab:]}
	})
	if err != nil {
		return nil, err
	}
	if c := float64(s.t.spec.LogitCap); c > 0 {
		for i, v := range out {
			out[i] = float32(c * math.Tanh(float64(v)/c))
		}
	}
	return out, nil
}

// Best ends a step as Logits does, and reads back only the token with the largest logit of the last row, or of each row; the
// lowest token wins a tie.
func (s *Sequence) Best(all bool) ([]int, error) {
	var ids []uint32
	err := s.head(all, func(rows int) gpu.Readback {
		b := s.step.b
		s.step.p.ArgMax(b.best, b.logits, rows, s.t.spec.Vocab)
		ids = append(ids, make([]uint32, rows)...)
		return gpu.Readback{From: b.best, IDs: ids[len(ids)-rows:]}
	})
	if err != nil {
		return nil, err
	}
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out, nil
}

// head computes logits, a few rows at a time, and has read say what of them to read back.
func (s *Sequence) head(all bool, read func(rows int) gpu.Readback) error {
	st, err := s.at(len(s.t.layers), atAttention)
	if err != nil {
		return err
	}
	b, hidden := st.b, s.t.spec.Hidden
	first := st.n - 1
	if all {
		first = 0
	}
	for at := first; at < st.n; at += b.logitRows {
		rows := min(b.logitRows, st.n-at)
		st.normRows(b.h, b.x, &s.t.final, gpu.Norm{Rows: rows, SrcOffset: at * hidden})
		st.p.MatMul(b.logits, b.h, s.t.head.w, s.t.head.bias, rows)
		if err := st.submit(read(rows)); err != nil {
			return s.fail(fmt.Errorf("logits: %w", err))
		}
	}
	s.advance()
	return nil
}

// Normed reads back the final norm of the residual stream [n, hidden], after the last layer. The step goes on.
func (s *Sequence) Normed() ([]float32, error) {
	st, err := s.at(len(s.t.layers), atAttention)
	if err != nil {
		return nil, err
	}
	st.norm(st.b.h, st.b.x, &s.t.final)
	out := make([]float32, st.n*s.t.spec.Hidden)
	if err := st.submit(gpu.Readback{From: st.b.h, Floats: out}); err != nil {
		return nil, s.fail(fmt.Errorf("final norm: %w", err))
	}
	return out, nil
}
