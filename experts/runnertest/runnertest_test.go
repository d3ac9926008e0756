package runnertest

import (
	"fmt"
	"testing"

	"shoal/experts"
	"shoal/rdrr"
)

var small = rdrr.MoE{Layers: []int{1, 2}, Experts: 6, TopK: 2, Hidden: 24, Intermediate: 20, Activation: "silu"}

func TestReference(t *testing.T) {
	for _, activation := range []string{"silu", "gelu_tanh", "swiglu_oai"} {
		t.Run(activation, func(t *testing.T) {
			moe := small
			moe.Activation, moe.Bias = activation, activation == "swiglu_oai"
			r := Random(moe, experts.Holdings{1: experts.SetOf(0, 2, 5), 2: experts.SetOf(1, 3)}, 1)
			Run(t, Subject{Runner: r, Reference: r})
		})
	}
}

// A hand-computed expert: hidden size 2, intermediate size 1.
func TestReferenceByHand(t *testing.T) {
	moe := rdrr.MoE{Layers: []int{0}, Experts: 1, TopK: 1, Hidden: 2, Intermediate: 1, Activation: "silu", Bias: true}
	r := &Reference{MoE: moe, Holds: All(moe), Weights: func(int, int) (Weights, error) {
		return Weights{Gate: []float32{1, 2}, Up: []float32{3, -1}, Down: []float32{2, 4},
			GateBias: []float32{-1}, UpBias: []float32{1}, DownBias: []float32{.5, 0}}, nil
	}}
	// x = (1, 1): gate 2, up 3, silu(2)*3 = 6/(1+exp(-2)) = 5.28478.
	b := experts.Batch{Hidden: 2, X: []float32{1, 1}, Slots: []experts.Slot{{Row: 0, Expert: 0, Weight: .5}}}
	want := []float32{2*5.28478 + .5, 4 * 5.28478}
	got, err := r.Run(t.Context(), b)
	if err != nil || NMSE(got, want) > 1e-10 {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	b.Sum = true
	got, err = r.Run(t.Context(), b)
	if want := []float32{want[0] / 2, want[1] / 2}; err != nil || NMSE(got, want) > 1e-10 {
		t.Errorf("sum: got %v, %v; want %v", got, err, want)
	}
}

func ExampleAll() {
	fmt.Println(All(small).Layers(), All(small).Count())
	// Output: [1 2] 12
}
