package router

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/experts"
)

// timed is a Runner that says where its time went.
type timed struct {
	experts.Runner
	of experts.Timing
}

func (p timed) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	y, err := p.Runner.Run(ctx, b)
	if t := experts.TimingOf(ctx); t != nil && err == nil {
		addTiming(t, p.of)
	}
	return y, err
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		s := newToySwarm(all)
		s.peers[0].delay = func(int) time.Duration { return 10 * time.Millisecond }
		s.dir.holders[0].Runner = timed{s.peers[0], experts.Timing{Codec: time.Millisecond, Queue: 2 * time.Millisecond, Compute: 4 * time.Millisecond}}
		r, err := s.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 9, OnToken: func(int) error {
			time.Sleep(5 * time.Millisecond)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		// Three layers ask the peer, for 10 ms each; between the tokens there is the time of showing one.
		want := Times{Total: 35, Wait: 30, Codec: 3, Queue: 6, Peer: 12, Link: 9, Other: 5}
		got := r.Time
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"total", got.Total, want.Total}, {"trunk", got.Trunk, want.Trunk}, {"wait", got.Wait, want.Wait}, {"codec", got.Codec, want.Codec},
			{"queue", got.Queue, want.Queue}, {"peer", got.Peer, want.Peer}, {"link", got.Link, want.Link}, {"sample", got.Sample, 0},
			{"guess", got.Guess, 0}, {"other", got.Other, want.Other},
		} {
			if !near(c.got, c.want) {
				t.Errorf("%s: %v ms a token, want %v", c.name, c.got, c.want)
			}
		}
		if p := r.Peers[0]; !near(p.Wait, 30) || !near(p.Codec, 1) || !near(p.Queue, 2) || !near(p.Compute, 4) {
			t.Errorf("the peer: %+v", p)
		}
	})
}

func TestTheLastAnswerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newToySwarm(experts.SetOf(0, 2, 4, 6), experts.SetOf(1, 3, 5, 7))
		s.peers[0].delay = func(int) time.Duration { return 10 * time.Millisecond }
		s.peers[1].delay = func(int) time.Duration { return 30 * time.Millisecond }
		r, err := s.session(Fast).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 6})
		if err != nil {
			t.Fatal(err)
		}
		if r.Peers[1].Wait < 30 || !near(r.Peers[0].Wait+r.Peers[1].Wait, r.Time.Wait) || !near(r.Time.Total, r.Time.Wait) {
			t.Errorf("%v ms a token, %v for experts, of which %v and %v for the two peers", r.Time.Total, r.Time.Wait, r.Peers[0].Wait, r.Peers[1].Wait)
		}
	})
}

// recorder is a Tracer that keeps everything.
type recorder struct {
	mu    sync.Mutex
	spans []Span
}

func (r *recorder) Span(s Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, s)
}

func TestTracer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		s.peers[0].delay = func(int) time.Duration { return 10 * time.Millisecond }
		rec := &recorder{}
		begin := time.Now()
		r, err := s.session(Exact).Generate(WithTracer(t.Context(), rec), Request{Prompt: []int{1, 2}, MaxTokens: 4})
		if err != nil {
			t.Fatal(err)
		}
		total := time.Since(begin)
		count := map[string]int{}
		for _, span := range rec.spans {
			count[span.Name]++
			if span.Start.Before(begin) || span.Start.Add(span.Took).After(begin.Add(total)) {
				t.Errorf("%s of layer %d lies outside the generation", span.Name, span.Layer)
			}
			if span.Name == "call" && (span.Peer != "a" || span.Took != 10*time.Millisecond || span.Slots != toyMoE.TopK*span.Rows || span.Layer < 1) {
				t.Errorf("call %+v", span)
			}
		}
		layers := len(toyMoE.Layers)
		for name, want := range map[string]int{"pass": 4, "trunk": 4 * layers, "wait": 4 * layers, "logits": 4, "sample": 4, "call": 4 * layers} {
			if count[name] != want {
				t.Errorf("%d spans %q, want %d", count[name], name, want)
			}
		}
		if int64(count["call"]) != r.RemoteCalls {
			t.Errorf("%d calls traced of %d", count["call"], r.RemoteCalls)
		}
	})
}
