// Package runnertest holds every [experts.Runner] to one behaviour: the device in this process, a remote peer, wrappers that
// retry and hedge. It also has the plain Go reference that they are compared with, which is a Runner itself.
//
// It is for tests: the reference computes one row at a time in float64 and knows no device, no file and no network.
package runnertest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"shoal/experts"
	"shoal/rdrr"
)

// Weights is one expert's gated FFN in plain floats. Gate and Up are [intermediate, hidden], Down is [hidden, intermediate];
// the biases are nil where the model has none.
type Weights struct {
	Gate, Up, Down             []float32
	GateBias, UpBias, DownBias []float32
}

// Reference runs experts in plain Go.
type Reference struct {
	Digest  rdrr.Digest
	MoE     rdrr.MoE
	Holds   experts.Holdings
	Weights func(layer, expert int) (Weights, error)
}

var _ experts.Runner = (*Reference)(nil)

// All is the holdings of somebody who has every expert of the model.
func All(moe rdrr.MoE) experts.Holdings {
	h := experts.Holdings{}
	for _, l := range moe.Layers {
		for e := range moe.Experts {
			h[l] = h[l].With(e)
		}
	}
	return h
}

// Random returns a reference with random weights. The same sizes and seed give the same weights, whatever is held.
func Random(moe rdrr.MoE, holds experts.Holdings, seed uint64) *Reference {
	digest := rdrr.Digest{'r', 'a', 'n', 'd', 'o', 'm', byte(seed)}
	return &Reference{Digest: digest, MoE: moe, Holds: holds, Weights: func(layer, expert int) (Weights, error) {
		rng := rand.New(rand.NewPCG(seed, uint64(layer)<<32|uint64(expert)))
		floats := func(n int, scale float64) []float32 {
			v := make([]float32, n)
			for i := range v {
				v[i] = float32(rng.NormFloat64() * scale)
			}
			return v
		}
		scale := 1 / math.Sqrt(float64(moe.Hidden))
		w := Weights{
			Gate: floats(moe.Intermediate*moe.Hidden, scale),
			Up:   floats(moe.Intermediate*moe.Hidden, scale),
			Down: floats(moe.Hidden*moe.Intermediate, 1/math.Sqrt(float64(moe.Intermediate))),
		}
		if moe.Bias {
			w.GateBias, w.UpBias, w.DownBias = floats(moe.Intermediate, .1), floats(moe.Intermediate, .1), floats(moe.Hidden, .1)
		}
		return w, nil
	}}
}

// Run computes the batch one slot after another.
func (r *Reference) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if b.Model != r.Digest {
		return nil, fmt.Errorf("%w: asked for %s, this is %s", experts.ErrWrongModel, b.Model.Short(), r.Digest.Short())
	}
	if b.Hidden != r.MoE.Hidden {
		return nil, fmt.Errorf("%w: rows of %d, the model's hidden size is %d", experts.ErrBadRequest, b.Hidden, r.MoE.Hidden)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", experts.ErrBadRequest, err)
	}
	for _, s := range b.Slots {
		if !r.Holds[b.Layer].Has(s.Expert) {
			return nil, fmt.Errorf("%w: layer %d expert %d", experts.ErrNotHeld, b.Layer, s.Expert)
		}
	}
	out := make([]float32, b.ReplyRows()*b.Hidden)
	for i, s := range b.Slots {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		w, err := r.Weights(b.Layer, s.Expert)
		if err != nil {
			return nil, fmt.Errorf("layer %d expert %d: %w", b.Layer, s.Expert, err)
		}
		y, err := ffn(w, b.X[s.Row*b.Hidden:][:b.Hidden], r.MoE)
		if err != nil {
			return nil, err
		}
		if !b.Sum {
			copy(out[i*b.Hidden:], y)
			continue
		}
		sum := out[s.Row*b.Hidden:][:b.Hidden]
		for c := range sum {
			sum[c] += s.Weight * y[c]
		}
	}
	return out, ctx.Err()
}

// ffn is down(act(gate x) * up x), the gated FFN (Shazeer 2020), of one row x [hidden].
func ffn(w Weights, x []float32, moe rdrr.MoE) ([]float32, error) {
	gate := affine(w.Gate, w.GateBias, x, moe.Intermediate)
	up := affine(w.Up, w.UpBias, x, moe.Intermediate)
	act, err := activation(moe.Activation)
	if err != nil {
		return nil, err
	}
	inner := make([]float32, moe.Intermediate)
	for i := range inner {
		inner[i] = float32(act(gate[i], up[i]))
	}
	y := make([]float32, moe.Hidden)
	for i, v := range affine(w.Down, w.DownBias, inner, moe.Hidden) {
		y[i] = float32(v)
	}
	return y, nil
}

// affine is w x + bias with w [rows, len(x)].
func affine(w, bias, x []float32, rows int) []float64 {
	y := make([]float64, rows)
	for r := range y {
		var sum float64
		for c, v := range w[r*len(x):][:len(x)] {
			sum += float64(v) * float64(x[c])
		}
		if bias != nil {
			sum += float64(bias[r])
		}
		y[r] = sum
	}
	return y
}

func activation(name string) (func(gate, up float64) float64, error) {
	switch name {
	case "silu":
		return func(g, u float64) float64 { return g / (1 + math.Exp(-g)) * u }, nil
	case "gelu_tanh":
		return func(g, u float64) float64 {
			return .5 * g * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+.044715*g*g*g))) * u
		}, nil
	case "swiglu_oai":
		return func(g, u float64) float64 {
			g, u = min(g, 7), max(-7, min(u, 7))
			return (u + 1) * g / (1 + math.Exp(-1.702*g))
		}, nil
	}
	return nil, fmt.Errorf("unknown activation %q", name)
}
