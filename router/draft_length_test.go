package router

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func constant(p float64, n int) []float64 { return slices.Repeat([]float64{p}, n) }

func TestDraftLength(t *testing.T) {
	for _, tt := range []struct {
		name string
		odds []float64
		cost passCost
		n    int
		gain float64
	}{
		{"no guesses", nil, passCost{1, 0}, 0, 1},
		{"free rows: all of them", constant(.7, 4), passCost{1, 0}, 4, 2.7731},
		{"sure of them", constant(1, 9), passCost{1, .1}, 9, 10 / 1.9},
		{"a row costs a pass", constant(.99, 8), passCost{1, 1}, 0, 1},
		{"a row costs more than it promises", constant(.3, 8), passCost{1, .35}, 0, 1},
		{"one is worth it, two are not", constant(.5, 8), passCost{1, .3}, 1, 1.5 / 1.3},
		{"a bad start is not worth its end", []float64{.05, 1, 1}, passCost{1, .2}, 0, 1},
		{"a bad start on a slow link is", []float64{.2, 1, 1, 1, 1}, passCost{1, .05}, 5, 2 / 1.25},
		{"too small a gain", constant(.021, 1), passCost{1, .01}, 0, 1},
		{"other units", constant(.5, 8), passCost{3000, 900}, 1, 1.5 / 1.3},
		{"passes that take no time", constant(.5, 2), passCost{1e-300, 0}, 2, 1.75},
	} {
		n, gain := draftLength(tt.odds, tt.cost)
		if n != tt.n || math.Abs(gain-tt.gain) > 1e-4 {
			t.Errorf("%s: %d guesses for %v times the speed, want %d for %v", tt.name, n, gain, tt.n, tt.gain)
		}
	}
}

// In situations drawn at random: no other number would give more, by the closed form for constant odds; and guesses that
// cost more, or are right less often, are not sent in greater numbers.
func TestDraftLengthIsTheBest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		p, c, most := rng.Float64(), passCost{.01 + rng.Float64(), rng.Float64() * rng.Float64()}, 1+rng.IntN(MaxDraft)
		n, gain := draftLength(constant(p, most), c)
		speed := func(n int) float64 {
			return (1 - math.Pow(p, float64(n+1))) / (1 - p) / (c.base + float64(n)*c.perRow)
		}
		for other := range most + 1 {
			if better := speed(other) / speed(n); better > worthwhile+1e-9 || n > 0 && better > 1+1e-9 {
				t.Fatalf("odds %v, cost %v: %d guesses, but %d are %v times as fast", p, c, n, other, better)
			}
		}
		if math.Abs(gain-speed(n)/speed(0)) > 1e-9 {
			t.Fatalf("odds %v, cost %v: gain %v of %d guesses, want %v", p, c, gain, n, speed(n)/speed(0))
		}
		if dearer, _ := draftLength(constant(p, most), passCost{c.base, c.perRow * 1.5}); dearer > n {
			t.Fatalf("odds %v, cost %v: %d guesses, %d where they cost more", p, c, n, dearer)
		}
		if worse, _ := draftLength(constant(p*.9, most), c); worse > n {
			t.Fatalf("odds %v, cost %v: %d guesses, %d where they are right less often", p, c, n, worse)
		}
	}
}

func TestOdds(t *testing.T) {
	o := newOdds([]float64{.2, .5, .9})
	if got := o.draft(1, 4); !slices.Equal(got, []float64{.5, .9, .9, .9}) {
		t.Errorf("before anything was seen: %v", got)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		o.observe(1, rng.IntN(10) < 3)
	}
	if got := o.of(1); math.Abs(got-.3) > .15 {
		t.Errorf("3 of 10 were right: %v", got)
	}
	for range 60 {
		o.observe(1, true)
	}
	if got := o.of(1); got < .9 {
		t.Errorf("the latest 60 were right: %v", got)
	}
	for range 40 {
		o.observe(0, false)
	}
	low := o.of(0)
	for range 2000 {
		o.pass()
	}
	if got := o.of(0); low > .03 || math.Abs(got-.2) > .01 || o.of(2) != .9 {
		t.Errorf("never right: %v; long ago: %v; another grade: %v", low, got, o.of(2))
	}
}
