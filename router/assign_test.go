package router

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"shoal/experts"
	"shoal/router/plan"
)

// planOf gives experts of all layers to peers.
func planOf(parts map[string]experts.Set) *plan.Plan {
	p := &plan.Plan{}
	for _, l := range toyMoE.Layers {
		p.Layers = append(p.Layers, plan.Layer{Layer: l, Experts: parts})
	}
	return p
}

func TestAPlanIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		alone, err := newToySwarm(all).session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
		if err != nil {
			t.Fatal(err)
		}
		s := newToySwarm(all, all, all)
		for i, delay := range []time.Duration{10, 20, 30} {
			s.peers[i].delay = func(int) time.Duration { return delay * time.Millisecond }
		}
		s.Follow(planOf(map[string]experts.Set{"b": experts.SetOf(0, 1, 2, 3, 4, 5, 6), "c": experts.SetOf(7)}))
		r, err := s.session(Exact).Generate(t.Context(), Request{Prompt: []int{3}, MaxTokens: 20})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.peers[0].calls.Load(); a != r.Hedges {
			t.Errorf("a peer without a part was asked %d times, %d of them to hedge", a, r.Hedges)
		}
		if s.peers[1].calls.Load() == 0 {
			t.Error("the planned peer was not asked")
		}

		// One that dies is replaced, and the tokens are the same as ever.
		s.peers[1].fail = dead(0, experts.ErrGone)
		got, err := s.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Tokens, alone.Tokens) {
			t.Errorf("tokens %v, want %v", got.Tokens, alone.Tokens)
		}

		// A prompt's chunk is too much for a plan of one row.
		s = newToySwarm(all, all)
		s.Follow(planOf(map[string]experts.Set{"b": all}))
		rows := make([]int, 200)
		session, err := NewSession(&toy{}, Config{Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: s.Swarm, Chunk: 200})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Step(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
		if s.peers[0].calls.Load() == 0 {
			t.Error("200 rows went by the plan")
		}
	})
}

func TestUsual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		s.peers[0].delay = func(call int) time.Duration {
			if call%30 == 29 {
				return 200 * time.Millisecond
			}
			return 10 * time.Millisecond
		}
		s.dir.holders[0].Runner = timed{s.peers[0], experts.Timing{Queue: 2 * time.Millisecond, Compute: 4 * time.Millisecond}}
		if u := s.Usual("a"); u.Calls != 0 {
			t.Errorf("%+v is known before the first call", u)
		}
		if _, err := s.session(Exact).Generate(t.Context(), Request{Prompt: []int{1}, MaxTokens: 40}); err != nil {
			t.Fatal(err)
		}
		u := s.Usual("a")
		if u.Calls != 120 || u.Took != 10*time.Millisecond || u.Queue != 2*time.Millisecond || u.Compute != 4*time.Millisecond || u.Slots != float64(toyMoE.TopK) {
			t.Errorf("%+v", u)
		}
	})
}
