package model

import (
	"errors"
	"fmt"

	"shoal/gpu"
)

// step is a forward pass under way: n rows at positions from start on.
type step struct {
	t     *Trunk
	b     *scratch
	p     gpu.Pass
	n     int
	start int

	layer int // the layer that stage belongs to
	stage stage
}

// stage is what a step waits for.
type stage uint8

const (
	atAttention stage = iota // Attend, or the head after the last layer
	atFFN                    // FFN
	atExperts                // Experts or Route
	atCombine                // Combine, CombineSum, or Experts after all
)

var (
	errNoStep  = errors.New("no step is under way: Embed starts one")
	stageNames = map[stage]string{atAttention: "Attend", atFFN: "FFN", atExperts: "Experts or Route", atCombine: "Combine"}
)

// at returns the step if it waits at that layer for one of those stages.
func (s *Sequence) at(layer int, stages ...stage) (*step, error) {
	st := s.step
	if st == nil {
		return nil, errNoStep
	}
	for _, want := range stages {
		if st.layer == layer && st.stage == want {
			return st, nil
		}
	}
	if st.layer == len(s.t.layers) {
		return nil, fmt.Errorf("layer %d: out of order: all layers are done, Logits or Finish is next", layer)
	}
	return nil, fmt.Errorf("layer %d: out of order: %s of layer %d is next", layer, stageNames[st.stage], st.layer)
}

func (st *step) next() {
	st.layer++
	st.stage = atAttention
}

// upload writes the tokens and the angles of their positions.
func (st *step) upload(ids []uint32) error {
	if err := st.t.dev.WriteIDs(st.b.ids, 0, ids); err != nil {
		return err
	}
	for i, r := range st.t.spec.Ropes {
		host := make([]float32, st.n*r.Dim)
		angles(host, st.t.turns[i], r.Amplitude, st.start)
		if err := st.t.dev.WriteFloats(st.b.angles[i], 0, host); err != nil {
			return err
		}
	}
	return nil
}

// submit runs what was recorded and begins anew.
func (st *step) submit(reads ...gpu.Readback) error {
	if err := st.p.Submit(reads...); err != nil {
		return err
	}
	st.p = st.t.dev.Begin()
	return nil
}

// norm writes dst = norm(x) for all rows of the step.
func (st *step) norm(dst, x gpu.Buffer, w *norm) { st.normRows(dst, x, w, gpu.Norm{Rows: st.n}) }

// normRows is norm for the rows that at gives; width and epsilon are the weight's.
func (st *step) normRows(dst, x gpu.Buffer, w *norm, at gpu.Norm) {
	at.Width, at.Eps = w.width, w.Eps
	if w.Centred {
		st.p.LayerNorm(dst, x, w.weight, w.bias, at)
	} else {
		st.p.RMSNorm(dst, x, w.weight, at)
	}
}

// linear writes dst = w x + bias for all rows of the step.
func (st *step) linear(dst, x gpu.Buffer, w linear) { st.p.MatMul(dst, x, w.w, w.bias, st.n) }

// project adds w y + bias to the residual stream, through the norm after the block if there is one.
func (st *step) project(y gpu.Buffer, w linear, after *norm) {
	if after == nil && st.t.dev.Info().Stacks {
		st.p.MatMulInto(st.b.x, y, w.w, w.bias, st.n, gpu.Into{Add: true})
		return
	}
	out := st.b.out
	st.linear(out, y, w)
	if after != nil {
		st.norm(st.b.h, out, after)
		out = st.b.h
	}
	st.p.Add(st.b.x, out, st.n*st.t.spec.Hidden)
}

// rotate turns the rotated part of every head by its row's position.
func (st *step) rotate(x gpu.Buffer, rope, heads, headDim, offset int) {
	r := st.t.spec.Ropes[rope]
	st.p.RoPE(x, st.b.angles[rope], gpu.Rotation{
		Rows: st.n, Heads: heads, HeadDim: headDim, Offset: offset, Rotary: r.Dim, Interleaved: r.Interleaved,
	})
}
