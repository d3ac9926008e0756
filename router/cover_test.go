package router

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"shoal/experts"
)

func TestCover(t *testing.T) {
	const ms = time.Millisecond
	set := experts.SetOf
	tests := []struct {
		name       string
		need       []int
		candidates []candidate
		want       []int
	}{
		{"nothing needed", nil, []candidate{{peer: "a", holds: set(1)}}, []int{}},
		{"nobody", []int{1, 2}, nil, []int{-1, -1}},
		{"one missing", []int{1, 2}, []candidate{{peer: "a", holds: set(1)}}, []int{0, -1}},
		{
			"this process first", []int{1, 2, 3},
			[]candidate{{peer: "a", holds: set(1, 2, 3), latency: ms}, {peer: "", holds: set(2)}},
			[]int{0, 1, 0},
		},
		{
			"one peer rather than two", []int{1, 2},
			[]candidate{{peer: "a", holds: set(1), latency: ms}, {peer: "b", holds: set(2), latency: ms}, {peer: "c", holds: set(1, 2), latency: ms}},
			[]int{2, 2},
		},
		{
			"one peer rather than two that are a little faster", []int{1, 2},
			[]candidate{{peer: "a", holds: set(1), latency: 10 * ms}, {peer: "b", holds: set(2), latency: 10 * ms}, {peer: "c", holds: set(1, 2), latency: 11 * ms}},
			[]int{2, 2},
		},
		{
			"two near peers rather than one far away", []int{1, 2},
			[]candidate{{peer: "a", holds: set(1), latency: ms}, {peer: "b", holds: set(2), latency: ms}, {peer: "c", holds: set(1, 2), latency: 30 * ms}},
			[]int{0, 1},
		},
		{
			"of equals the faster", []int{1, 2},
			[]candidate{{peer: "a", holds: set(1, 2), latency: 3 * ms}, {peer: "b", holds: set(1, 2), latency: 2 * ms}},
			[]int{1, 1},
		},
		{
			"of equals the lower id", []int{1, 2},
			[]candidate{{peer: "b", holds: set(1, 2), latency: ms}, {peer: "a", holds: set(1, 2), latency: ms}},
			[]int{1, 1},
		},
		{
			"a peer not yet measured is tried", []int{1},
			[]candidate{{peer: "a", holds: set(1), latency: ms}, {peer: "b", holds: set(1)}},
			[]int{1},
		},
		{
			"a resting peer only for what nobody else has", []int{1, 2, 3},
			[]candidate{{peer: "a", holds: set(1, 2, 3), latency: ms, resting: true}, {peer: "b", holds: set(1), latency: 50 * ms}, {peer: "c", holds: set(3), latency: 50 * ms}},
			[]int{1, 0, 2},
		},
		{
			"greedy would take three: largest first misleads", []int{1, 2, 3, 4, 5, 6},
			[]candidate{{peer: "a", holds: set(1, 2, 4, 5)}, {peer: "b", holds: set(1, 2, 3)}, {peer: "c", holds: set(4, 5, 6)}},
			[]int{1, 1, 1, 2, 2, 2},
		},
		{
			"numbers beyond a word", []int{3, 200, 383},
			[]candidate{{peer: "a", holds: set(3, 383)}, {peer: "b", holds: set(200)}},
			[]int{0, 1, 0},
		},
	}
	for _, tt := range tests {
		if got := cover(tt.need, tt.candidates); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// On random swarms: everything that somebody holds is assigned to somebody who holds it, the order of the candidates does not
// matter, and no set of peers is cheaper than the one chosen.
func TestCoverIsCheapest(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		candidates := make([]candidate, 1+rng.IntN(7))
		for i := range candidates {
			candidates[i] = candidate{peer: string(rune('a' + i)), latency: time.Duration(rng.IntN(4)) * time.Millisecond}
			for e := range 8 {
				if rng.IntN(3) == 0 {
					candidates[i].holds = candidates[i].holds.With(e)
				}
			}
		}
		need := rng.Perm(8)[:1+rng.IntN(8)]
		assigned := cover(need, candidates)
		used := map[int]bool{}
		coverable := 0
		for i, c := range assigned {
			held := slices.ContainsFunc(candidates, func(c candidate) bool { return c.holds.Has(need[i]) })
			if held {
				coverable++
			}
			if held != (c >= 0) || c >= 0 && !candidates[c].holds.Has(need[i]) {
				t.Fatalf("need %v of %+v: got %v", need, candidates, assigned)
			}
			if c >= 0 {
				used[c] = true
			}
		}
		cost := func(has func(int) bool) time.Duration {
			slowest, peers := time.Duration(0), 0
			for i, c := range candidates {
				if has(i) {
					slowest, peers = max(slowest, c.latency), peers+1
				}
			}
			return setCost(slowest, peers)
		}
		got := cost(func(i int) bool { return used[i] })
		for subset := range 1 << len(candidates) {
			has := func(i int) bool { return subset>>i&1 == 1 }
			covered := 0
			for _, n := range need {
				for i, c := range candidates {
					if has(i) && c.holds.Has(n) {
						covered++
						break
					}
				}
			}
			if covered == coverable && covered > 0 && cost(has) < got {
				t.Fatalf("need %v of %+v: %v costs %v, subset %b costs %v", need, candidates, assigned, got, subset, cost(has))
			}
		}
		shuffled := slices.Clone(candidates)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for i, c := range cover(need, shuffled) {
			if c >= 0 != (assigned[i] >= 0) || c >= 0 && shuffled[c].peer != candidates[assigned[i]].peer {
				t.Fatalf("the order of the candidates changes who gets expert %d", need[i])
			}
		}
	}
}

func BenchmarkCover(b *testing.B) {
	// A token's eight experts of 128, forty peers with a third of them each.
	rng := rand.New(rand.NewPCG(1, 1))
	candidates := make([]candidate, 40)
	for i := range candidates {
		candidates[i] = candidate{peer: string(rune('a' + i)), latency: time.Duration(1000+rng.IntN(400)) * time.Microsecond}
		for e := range 128 {
			if rng.IntN(3) == 0 {
				candidates[i].holds = candidates[i].holds.With(e)
			}
		}
	}
	need := rng.Perm(128)[:8]
	for b.Loop() {
		cover(need, candidates)
	}
}
