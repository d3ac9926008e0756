package router

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// logs returns logits whose softmax is the given probabilities.
func logs(p ...float64) []float32 {
	out := make([]float32, len(p))
	for i, v := range p {
		out[i] = float32(math.Log(v))
	}
	return out
}

func TestChoose(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	four := logs(.1, .2, .3, .4)
	tests := []struct {
		name   string
		logits []float32
		s      Sampling
		u      float64
		want   int
	}{
		{"by id without filters, start", four, Sampling{Temperature: 1}, 0, 0},
		{"by id without filters, .1 to .3", four, Sampling{Temperature: 1}, .29, 1},
		{"by id without filters, .3 to .6", four, Sampling{Temperature: 1}, .31, 2},
		{"by id without filters, end", four, Sampling{Temperature: 1}, .999999, 3},
		{"low temperature sharpens", four, Sampling{Temperature: .01}, .01, 3},
		{"high temperature flattens", four, Sampling{Temperature: 1e6}, .26, 1},
		{"top-k 1 is greedy", four, Sampling{Temperature: 1, TopK: 1}, .99, 3},
		{"top-k 2, likeliest first", four, Sampling{Temperature: 1, TopK: 2}, .57, 3},
		{"top-k 2, second", four, Sampling{Temperature: 1, TopK: 2}, .58, 2},
		{"top-k beyond the vocabulary keeps all", four, Sampling{Temperature: 1, TopK: 9}, 0, 0},
		{"top-p keeps the token that reaches it", four, Sampling{Temperature: 1, TopP: .5}, .99, 2},
		{"top-p below the first keeps one", four, Sampling{Temperature: 1, TopP: .1}, .99, 3},
		{"top-p 1 keeps all", four, Sampling{Temperature: 1, TopP: 1}, .05, 0},
		{"top-p after top-k is of what top-k left", four, Sampling{Temperature: 1, TopK: 2, TopP: .57}, .99, 3},
		{"equal logits in order of id", logs(.25, .25, .25, .25), Sampling{Temperature: 1, TopK: 2}, .49, 0},
		{"equal logits, the second", logs(.25, .25, .25, .25), Sampling{Temperature: 1, TopK: 2}, .51, 1},
		{"NaN is never chosen", []float32{nan, 0, nan}, Sampling{Temperature: 1}, .99, 1},
		{"infinity is", []float32{0, inf, 0}, Sampling{Temperature: 1}, .99, 1},
		{"minus infinity is not", []float32{-inf, 0, -inf}, Sampling{Temperature: 1}, 0, 1},
	}
	for _, tt := range tests {
		if got, err := choose(tt.logits, tt.s, tt.u); err != nil || got != tt.want {
			t.Errorf("%s: token %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
}

func TestGreedy(t *testing.T) {
	nan := float32(math.NaN())
	for _, tt := range []struct {
		logits []float32
		want   int
	}{{[]float32{1, 3, 2}, 1}, {[]float32{3, 1, 3}, 0}, {[]float32{nan, -5, -4}, 2}} {
		if got, err := NewSampler(Sampling{}).Sample(tt.logits); err != nil || got != tt.want {
			t.Errorf("%v: %d, %v; want %d", tt.logits, got, err, tt.want)
		}
	}
	for _, s := range []Sampling{{}, {Temperature: 1}} {
		if _, err := NewSampler(s).Sample([]float32{nan, nan}); err == nil {
			t.Errorf("%+v: a token was drawn from logits that are no numbers", s)
		}
	}
}

// The heap and the stepwise nucleus must agree with sorting everything.
func TestFiltersAgreeWithSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		tokens := make([]weighted, 1+rng.IntN(3000))
		for i := range tokens {
			tokens[i] = weighted{i, math.Exp(-float64(rng.IntN(40)) / 4)} // many ties
		}
		sorted := slices.Clone(tokens)
		slices.SortFunc(sorted, byLikelihood)
		k := 1 + rng.IntN(len(tokens))
		if got := likeliest(tokens, k); !slices.Equal(got, sorted[:k]) {
			t.Fatalf("the %d likeliest of %d are wrong", k, len(tokens))
		}
		want := rng.Float64() * mass(tokens)
		n, sum := 0, 0.0
		for n < len(sorted) && sum < want {
			sum += sorted[n].p
			n++
		}
		if got := nucleus(tokens, want); !slices.Equal(got, sorted[:n]) {
			t.Fatalf("nucleus of %d tokens has %d, want %d", len(tokens), len(got), n)
		}
	}
}

func TestSamplerFollowsSeedAndDistribution(t *testing.T) {
	logits := logs(.1, .2, .3, .4)
	draw := func(seed uint64) []int {
		s := NewSampler(Sampling{Temperature: 1, Seed: seed})
		out := make([]int, 4000)
		for i := range out {
			out[i], _ = s.Sample(logits)
		}
		return out
	}
	a := draw(7)
	if !slices.Equal(a, draw(7)) {
		t.Error("the same seed gave other tokens")
	}
	if slices.Equal(a, draw(8)) {
		t.Error("another seed gave the same tokens")
	}
	var counts [4]float64
	for _, token := range a {
		counts[token]++
	}
	for i, n := range counts {
		p := float64(i+1) / 10
		if deviation := math.Abs(n - 4000*p); deviation > 4.5*math.Sqrt(4000*p*(1-p)) {
			t.Errorf("token %d drawn %v times of 4000, want about %v", i, n, 4000*p)
		}
	}
}

func TestSamplingValidate(t *testing.T) {
	for _, s := range []Sampling{{}, {Temperature: 2, TopK: 40, TopP: .9}, {TopP: 1}} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	err := Sampling{Temperature: -1, TopK: -1, TopP: 1.5}.Validate()
	for _, want := range []string{"temperature -1", "top-k -1", "top-p 1.5"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not report %s", err, want)
		}
	}
	if (Sampling{Temperature: math.NaN()}).Validate() == nil {
		t.Error("temperature NaN is taken")
	}
}
