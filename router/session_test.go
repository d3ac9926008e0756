package router

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/experts"
	"shoal/experts/runnertest"
	"shoal/model"
)

func TestTokensDoNotDependOnPlacement(t *testing.T) {
	want := alone(t.Context(), 40)
	if slices.Max(want) == slices.Min(want) {
		t.Fatalf("the toy says nothing of interest: %v", want)
	}
	set := experts.SetOf
	for name, swarm := range map[string]toySwarm{
		"one peer":      newToySwarm(set(0, 1, 2, 3, 4, 5, 6, 7)),
		"three peers":   newToySwarm(set(0, 3, 6), set(1, 4, 7), set(2, 5)),
		"with replicas": newToySwarm(set(0, 1, 2, 3, 4), set(3, 4, 5, 6, 7), set(0, 1, 6, 7), set(2, 5)),
	} {
		r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 40})
		if err != nil || !slices.Equal(r.Tokens, want) {
			t.Errorf("%s: %v, %v\nwant %v", name, r.Tokens, err, want)
		}
	}
}

func TestLayersOnTheDeviceAskNobody(t *testing.T) {
	swarm := newToySwarm(experts.SetOf(0, 1, 2, 3), experts.SetOf(4, 5, 6, 7))
	reference := runnertest.Random(toyMoE, runnertest.All(toyMoE), 1)
	for _, held := range [][]int{{1}, {1, 3}, {1, 2, 3}} {
		s, err := NewSession(&toy{}, Config{Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: swarm, Device: func(l int) (model.LayerExperts, bool) {
			return onDevice{reference}, slices.Contains(held, l)
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
		if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 20)) {
			t.Errorf("layers %v on the device: %v, %v", held, r.Tokens, err)
		}
		if want := float64(3 - len(held)); r.RemoteLayersPerToken != want || r.RoundTripsPerToken != want {
			t.Errorf("layers %v on the device: %v remote layers, %v round trips a token", held, r.RemoteLayersPerToken, r.RoundTripsPerToken)
		}
	}
}

func TestExpertsOfThisProcessComeFirst(t *testing.T) {
	swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
	local := runnertest.Random(toyMoE, experts.Holdings{1: experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7), 2: experts.SetOf(0, 1, 2)}, 1)
	swarm.config.Local = &experts.Holder{Holds: local.Holds, Runner: local}
	r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
	if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 20)) {
		t.Errorf("%v, %v", r.Tokens, err)
	}
	if r.RemoteLayersPerToken > 2 || r.RemoteLayersPerToken < 1 {
		t.Errorf("%v remote layers a token, layer 1 is local", r.RemoteLayersPerToken)
	}
	// A device that fails is replaced like a peer.
	swarm.config.Local.Runner = &fakePeer{Runner: local, fail: func(int) error { return experts.ErrInternal }}
	r, err = swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
	if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 20)) || r.Failovers == 0 {
		t.Errorf("with a failing device: %v, %v, %d failovers", r.Tokens, err, r.Failovers)
	}
}

func TestPromptGoesInChunks(t *testing.T) {
	reference := runnertest.Random(toyMoE, runnertest.All(toyMoE), 1)
	var want []float32
	for _, chunk := range []int{1, 4, 5, 12, 100} {
		seq := &toy{}
		s, _ := NewSession(seq, Config{Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: reference, Chunk: chunk})
		got, err := s.Step(t.Context(), toyPrompt)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) || s.Position() != len(toyPrompt) {
			t.Errorf("chunks of %d: other logits, or position %d", chunk, s.Position())
		}
		if slices.Max(seq.steps) > chunk || len(seq.steps) != (len(toyPrompt)+chunk-1)/chunk {
			t.Errorf("chunks of %d: steps of %v", chunk, seq.steps)
		}
	}
	s := newToySession(reference, Exact)
	all, err := s.Score(t.Context(), toyPrompt)
	if err != nil || len(all) != len(toyPrompt)*toyVocab || !slices.Equal(all[len(all)-toyVocab:], want) {
		t.Errorf("Score: %d values, %v", len(all), err)
	}
}

// A step that fails leaves the sequence as it was: repeated, it gives the tokens of a session that never failed.
func TestFailedStepCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		down := false
		swarm.peers[0].fail = func(int) error {
			if down {
				return experts.ErrGone
			}
			return nil
		}
		s := swarm.session(Exact)
		reference := newToySession(runnertest.Random(toyMoE, runnertest.All(toyMoE), 1), Exact)
		for i, token := range toyPrompt {
			want, _ := reference.Step(t.Context(), []int{token})
			if i == 3 || i == 7 {
				down = true
				if _, err := s.Step(t.Context(), []int{token}); !errors.Is(err, experts.ErrNotHeld) || !errors.Is(err, experts.ErrGone) {
					t.Fatalf("token %d with no peer: %v", i, err)
				}
				down = false
				if s.Position() != i {
					t.Fatalf("position %d after a failure at %d", s.Position(), i)
				}
			}
			got, err := s.Step(t.Context(), []int{token})
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("token %d: %v", i, err)
			}
		}
	})
}

func TestGenerate(t *testing.T) {
	reference := runnertest.Random(toyMoE, runnertest.All(toyMoE), 1)
	all := alone(t.Context(), 30)
	t.Run("stop token", func(t *testing.T) {
		stop := all[len(all)-1]
		first := slices.Index(all, stop)
		r, err := newToySession(reference, Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 30, Stop: []int{1000, stop}})
		if err != nil || r.Stopped != "stop" || !slices.Equal(r.Tokens, all[:first]) {
			t.Errorf("%v, %s, %v; want %v", r.Tokens, r.Stopped, err, all[:first])
		}
	})
	t.Run("callback", func(t *testing.T) {
		var seen []int
		enough := errors.New("enough")
		r, err := newToySession(reference, Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 30, OnToken: func(token int) error {
			if seen = append(seen, token); len(seen) == 4 {
				return enough
			}
			return nil
		}})
		if !errors.Is(err, enough) || !slices.Equal(seen, all[:4]) || !slices.Equal(r.Tokens, seen) || r.Stopped != "error" {
			t.Errorf("%v, %v, %s, %v", seen, r.Tokens, r.Stopped, err)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := newToySession(reference, Exact).Generate(ctx, Request{Prompt: toyPrompt, MaxTokens: 30, OnToken: func(int) error { cancel(); return nil }})
		if !errors.Is(err, context.Canceled) || r.Stopped != "cancelled" || len(r.Tokens) != 1 {
			t.Errorf("%v, %s, %v", r.Tokens, r.Stopped, err)
		}
	})
	t.Run("seeded", func(t *testing.T) {
		request := Request{Prompt: toyPrompt, MaxTokens: 30, Sampling: Sampling{Temperature: 2, TopK: 20, TopP: .95, Seed: 4}}
		a, _ := newToySession(reference, Exact).Generate(t.Context(), request)
		b, _ := newToySession(reference, Exact).Generate(t.Context(), request)
		request.Sampling.Seed++
		c, _ := newToySession(reference, Exact).Generate(t.Context(), request)
		if !slices.Equal(a.Tokens, b.Tokens) || slices.Equal(a.Tokens, c.Tokens) || len(a.Tokens) != 30 {
			t.Errorf("seed 4: %v and %v; seed 5: %v", a.Tokens, b.Tokens, c.Tokens)
		}
	})
	t.Run("continued", func(t *testing.T) {
		s := newToySession(reference, Exact)
		a, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 10})
		if err != nil || s.Position() != len(toyPrompt)+9 {
			t.Fatalf("position %d, %v", s.Position(), err)
		}
		b, err := s.Generate(t.Context(), Request{Prompt: a.Tokens[9:], MaxTokens: 20})
		if err != nil || !slices.Equal(append(a.Tokens, b.Tokens...), all) {
			t.Errorf("%v then %v, %v; want %v", a.Tokens, b.Tokens, err, all)
		}
	})
	t.Run("bad requests", func(t *testing.T) {
		for want, r := range map[string]Request{
			"prompt has no tokens": {MaxTokens: 1}, "max tokens 0": {Prompt: toyPrompt}, "temperature": {Prompt: toyPrompt, MaxTokens: 1, Sampling: Sampling{Temperature: math.Inf(1)}},
		} {
			if _, err := newToySession(reference, Exact).Generate(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	})
	t.Run("missing experts are found before the first token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 6))
			begin := time.Now()
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 3})
			if err == nil || !strings.Contains(err.Error(), "layers 1-3 experts 5,7: no peer holds them; start a node with --layers 1-3 --experts 5,7") {
				t.Errorf("%v", err)
			}
			if time.Since(begin) > 0 || swarm.peers[0].calls.Load() > 0 || r.Stopped != "error" {
				t.Errorf("after %v and %d calls, %s", time.Since(begin), swarm.peers[0].calls.Load(), r.Stopped)
			}
		})
	})
}

func TestNewSessionChecks(t *testing.T) {
	if _, err := NewSession(&toy{}, Config{Layers: 3, MoE: &toyMoE, Experts: newToySwarm()}); err == nil || !strings.Contains(err.Error(), "layer 3") {
		t.Errorf("a model of three layers with experts in layer 3: %v", err)
	}
	_, err := NewSession(&toy{}, Config{Layers: toyLayers, MoE: &toyMoE, Device: func(l int) (model.LayerExperts, bool) { return nil, l < 3 }})
	if err == nil || !strings.Contains(err.Error(), "layer 3 experts 0-7") {
		t.Errorf("without anybody for layer 3: %v", err)
	}
}

func TestParseMode(t *testing.T) {
	for _, m := range []Mode{Exact, Fast} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMode("quick"); err == nil || !strings.Contains(err.Error(), `"quick"`) {
		t.Errorf("quick: %v", err)
	}
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		swarm.peers[0].delay = func(int) time.Duration { return 10 * ms }
		r, err := swarm.session(Fast).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 21})
		if err != nil {
			t.Fatal(err)
		}
		// Three chunks of the prompt, then 20 tokens, three remote layers each.
		const calls = 3 * (3 + 20)
		near := func(name string, got, want float64) {
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		near("time to first token", r.TimeToFirstToken, 90)
		near("tokens per second", r.TokensPerSecond, 1000./30)
		near("round trips", r.RoundTripsPerToken, 3)
		near("remote layers", r.RemoteLayersPerToken, 3)
		near("RTT", r.RTT, 10)
		near("share of the law", r.LawShare, 1)
		near("sent", float64(r.BytesSent), float64(3*(len(toyPrompt)+20)*toyMoE.Hidden*4))
		near("received", float64(r.BytesReceived), calls*100)
		if len(r.Tokens) != 21 || r.PromptTokens != 12 || r.RemoteCalls != calls || r.Hedges != 0 || r.Failovers != 0 {
			t.Errorf("%+v", r)
		}
		if p := r.Peers[0]; len(r.Peers) != 1 || p.ID != "a" || p.Experts != 24 || p.Calls != calls || p.P50 != 10 || p.P95 != 10 {
			t.Errorf("peers %+v", r.Peers)
		}
	})
}
