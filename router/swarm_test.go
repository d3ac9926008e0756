package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/experts"
	"shoal/experts/runnertest"
)

// The swarm is a Runner like any other: experts on two peers and in this process, one of the peers failing every other call
// with a replica beside it.
func TestSwarmIsARunner(t *testing.T) {
	moe := toyMoE
	swarm := newToySwarm(experts.SetOf(0, 1, 2), experts.SetOf(0, 1, 2), experts.SetOf(3, 4))
	local := runnertest.Random(moe, experts.Holdings{1: experts.SetOf(5), 2: experts.SetOf(6)}, 1)
	swarm.config.Local = &experts.Holder{Holds: local.Holds, Runner: local}
	swarm.config.Limits.Patience = ms
	swarm.peers[0].fail = func(call int) error {
		if call%2 == 0 {
			return experts.ErrBusy
		}
		return nil
	}
	all := experts.SetOf(0, 1, 2, 3, 4)
	reference := runnertest.Random(moe, experts.Holdings{1: slices.Clone(all).With(5), 2: slices.Clone(all).With(6), 3: all}, 1)
	runnertest.Run(t, runnertest.Subject{Runner: swarm, Reference: reference})
}

// rawBits makes slices of floats comparable bit for bit.
func rawBits(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}

// toyBatch is a layer's work for some rows.
func toyBatch(rows int, sum bool) experts.Batch {
	rng := rand.New(rand.NewPCG(uint64(rows), 0))
	b := experts.Batch{Model: toyDigest, Layer: 2, Hidden: toyMoE.Hidden, X: make([]float32, rows*toyMoE.Hidden), Sum: sum}
	for i := range b.X {
		b.X[i] = float32(rng.NormFloat64())
	}
	for r := range rows {
		for _, e := range rng.Perm(toyMoE.Experts)[:toyMoE.TopK] {
			b.Slots = append(b.Slots, experts.Slot{Row: r, Expert: e, Weight: rng.Float32()})
		}
	}
	return b
}

func TestArrivalOrderDoesNotMatter(t *testing.T) {
	for _, sum := range []bool{false, true} {
		b := toyBatch(7, sum)
		var want []float32
		for seed := range uint64(20) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				swarm := newToySwarm(experts.SetOf(0, 4), experts.SetOf(1, 5), experts.SetOf(2, 6), experts.SetOf(3, 7))
				for _, p := range swarm.peers {
					wait := time.Duration(rng.IntN(100)) * ms
					p.delay = func(int) time.Duration { return wait }
				}
				rng.Shuffle(4, func(i, j int) { h := swarm.dir.holders; h[i], h[j] = h[j], h[i] })
				begin := time.Now()
				got, err := swarm.Run(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				if want == nil {
					want = got
				}
				if !bytes.Equal(rawBits(got), rawBits(want)) {
					t.Errorf("sum=%v: other bits with seed %d", sum, seed)
				}
				if took := time.Since(begin); took > 100*ms {
					t.Errorf("peers were asked one after another: %v", took)
				}
			})
		}
	}
}

func TestOneMessagePerPeer(t *testing.T) {
	swarm := newToySwarm(experts.SetOf(0, 2, 4, 6), experts.SetOf(1, 3, 5, 7))
	if _, err := swarm.Run(t.Context(), toyBatch(9, false)); err != nil {
		t.Fatal(err)
	}
	for i, p := range swarm.peers {
		if p.calls.Load() != 1 {
			t.Errorf("peer %d was asked %d times", i, p.calls.Load())
		}
	}
}

// dead answers with an error from a call on.
func dead(from int, err error) func(int) error {
	return func(call int) error {
		if call >= from {
			return err
		}
		return nil
	}
}

func TestPeerDiesInMidToken(t *testing.T) {
	for _, failure := range []error{experts.ErrGone, experts.ErrBusy, experts.ErrDeadline, experts.ErrBadReply, experts.ErrNotHeld, experts.ErrInternal, experts.ErrWrongModel} {
		synctest.Test(t, func(t *testing.T) {
			want := alone(t.Context(), 30)
			// Every expert is on two of the three, none has all.
			swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5), experts.SetOf(3, 4, 5, 6, 7), experts.SetOf(0, 1, 2, 6, 7))
			for i, p := range swarm.peers {
				p.delay = func(int) time.Duration { return time.Duration(i+1) * ms }
			}
			swarm.peers[0].fail = dead(22, failure)
			begin := time.Now()
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 30})
			if err != nil || !slices.Equal(r.Tokens, want) {
				t.Fatalf("%v: %v, %v", failure, r.Tokens, err)
			}
			if r.Failovers == 0 || swarm.peers[0].answered.Load() < 22 {
				t.Errorf("%v: %d failovers, %d calls to the peer before it died", failure, r.Failovers, swarm.peers[0].answered.Load())
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("%v: took %v", failure, took)
			}
			if tries := swarm.peers[0].calls.Load() - 22; tries > 3 {
				t.Errorf("%v: the dead peer was asked %d times more", failure, tries)
			}
		})
	}
}

// A peer that takes requests and never answers costs one deadline, later ones less.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		swarm := newToySwarm(all, all)
		swarm.peers[0].hang = func(int) bool { return true }
		swarm.peers[1].delay = func(int) time.Duration { return 2 * ms }
		begin := time.Now()
		r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 30})
		if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 30)) {
			t.Fatalf("%v, %v", r.Tokens, err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestBadReplies(t *testing.T) {
	nan := float32(math.NaN())
	for name, change := range map[string]func(int, []float32) []float32{
		"NaN":          func(_ int, y []float32) []float32 { y[3] = nan; return y },
		"infinity":     func(_ int, y []float32) []float32 { y[0] = float32(math.Inf(-1)); return y },
		"a row short":  func(_ int, y []float32) []float32 { return y[toyMoE.Hidden:] },
		"a row more":   func(_ int, y []float32) []float32 { return append(y, make([]float32, toyMoE.Hidden)...) },
		"nothing":      func(int, []float32) []float32 { return nil },
		"part of rows": func(_ int, y []float32) []float32 { return y[:len(y)-1] },
	} {
		synctest.Test(t, func(t *testing.T) {
			all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
			swarm := newToySwarm(all, all)
			swarm.peers[0].change = change
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 10})
			if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 10)) || r.Failovers == 0 {
				t.Errorf("%s: %v, %v, %d failovers", name, r.Tokens, err, r.Failovers)
			}
			lonely := newToySwarm(all)
			lonely.peers[0].change = change
			_, err = lonely.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 10})
			if !errors.Is(err, experts.ErrBadReply) || !strings.Contains(err.Error(), "a: malformed reply") {
				t.Errorf("%s without a replica: %v", name, err)
			}
		})
	}
}

func TestNoReplicaLeft(t *testing.T) {
	for name, kill := range map[string]func(p *fakePeer){
		"unreachable": func(p *fakePeer) { p.fail = dead(30, experts.ErrGone) },
		"silent":      func(p *fakePeer) { p.hang = func(call int) bool { return call >= 30 } },
		"busy":        func(p *fakePeer) { p.fail = dead(30, experts.ErrBusy) },
		"failing":     func(p *fakePeer) { p.fail = dead(30, experts.ErrInternal) },
	} {
		synctest.Test(t, func(t *testing.T) {
			swarm := newToySwarm(experts.SetOf(0, 1, 2, 3), experts.SetOf(4, 5, 6, 7))
			for _, p := range swarm.peers {
				p.delay = func(int) time.Duration { return ms }
			}
			kill(swarm.peers[1])
			var lastToken time.Time
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 100, OnToken: func(int) error {
				lastToken = time.Now()
				return nil
			}})
			if took := time.Since(lastToken); took > 5*time.Second {
				t.Errorf("%s: the error took %v", name, took)
			}
			var missing *MissingError
			if !errors.As(err, &missing) {
				t.Fatalf("%s: %v", name, err)
			}
			for _, want := range []string{"layer ", "expert", "no peer is left that holds ", "(b: ", "start a node with --layers "} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q does not say %q", name, err, want)
				}
			}
			for _, e := range missing.Missing[0].Experts {
				if e < 4 {
					t.Errorf("%s: expert %d is said to be missing", name, e)
				}
			}
			if n := len(r.Tokens); n == 0 || !slices.Equal(r.Tokens, alone(t.Context(), n)) || r.Stopped != "error" {
				t.Errorf("%s: tokens %v before, %s", name, r.Tokens, r.Stopped)
			}
		})
	}
}

// A holder that was busy, or comes back, or joins while a layer waits, saves the token.
func TestPatience(t *testing.T) {
	all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
	t.Run("back after a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			swarm := newToySwarm(all)
			back := time.Now().Add(time.Second)
			swarm.peers[0].fail = func(int) error {
				if time.Now().Before(back) {
					return experts.ErrGone
				}
				return nil
			}
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 5})
			if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 5)) {
				t.Errorf("%v, %v", r.Tokens, err)
			}
			if n := swarm.peers[0].calls.Load(); n > 60 {
				t.Errorf("%d calls: the peer was hammered", n)
			}
		})
	})
	t.Run("a new node", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			swarm := newToySwarm(all)
			other := newToySwarm(all)
			swarm.peers[0].fail = dead(10, experts.ErrInternal)
			other.dir.holders[0].Peer = "z"
			time.AfterFunc(1500*ms, func() { swarm.dir.add(other.dir.holders...) })
			r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 5})
			if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 5)) {
				t.Errorf("%v, %v", r.Tokens, err)
			}
		})
	})
}

// The error names who held the experts also when the directory has forgotten the peer meanwhile, and nobody else.
func TestErrorNamesLostHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3), experts.SetOf(4, 5, 6, 7))
		swarm.peers[0].fail = func(call int) error { // a blip that passes
			if call == 0 {
				return experts.ErrBusy
			}
			return nil
		}
		swarm.peers[1].fail = func(int) error {
			swarm.dir.mu.Lock()
			defer swarm.dir.mu.Unlock()
			swarm.dir.holders = swarm.dir.holders[:1]
			return experts.ErrGone
		}
		for range 2 { // the second time b is gone before it is asked
			_, err := swarm.Run(t.Context(), toyBatch(5, false))
			var missing *MissingError
			if !errors.As(err, &missing) || len(missing.Failures) != 1 || missing.Failures[0].Peer != "b" || !errors.Is(err, experts.ErrGone) {
				t.Errorf("%v", err)
			}
		}
	})
}

// A peer that failed rests, is asked again later, and is a full member once it answers.
func TestFailedPeerReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		swarm := newToySwarm(all, all)
		swarm.peers[1].delay = func(int) time.Duration { return 5 * ms } // a is nearer
		swarm.peers[0].fail = func(call int) error {
			if call == 0 {
				return experts.ErrGone
			}
			return nil
		}
		run := func() {
			if _, err := swarm.Run(t.Context(), toyBatch(1, false)); err != nil {
				t.Fatal(err)
			}
		}
		run()
		run()
		if swarm.peers[0].calls.Load() != 1 || swarm.peers[1].calls.Load() != 2 {
			t.Errorf("right after the failure: %d calls to a, %d to b", swarm.peers[0].calls.Load(), swarm.peers[1].calls.Load())
		}
		time.Sleep(time.Second)
		run()
		if swarm.peers[0].calls.Load() != 2 {
			t.Error("a is still avoided after a second")
		}
	})
}

func TestHedging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		swarm := newToySwarm(all, all)
		// a is the nearer one, and stalls now and then.
		swarm.peers[0].delay = func(call int) time.Duration {
			if call >= 20 && call%40 == 0 {
				return time.Second
			}
			return 10 * ms
		}
		swarm.peers[1].delay = func(int) time.Duration { return 15 * ms }
		r, err := swarm.session(Exact).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 100})
		if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 100)) {
			t.Fatalf("%v, %v", r.Tokens, err)
		}
		synctest.Wait()
		stalls := swarm.peers[0].cancelled.Load()
		if stalls < 4 || r.Hedges < stalls || r.Failovers != 0 {
			t.Errorf("%d hedges, %d cancelled calls, %d failovers", r.Hedges, stalls, r.Failovers)
		}
		if seconds := 99 / r.TokensPerSecond; seconds > 3.9 {
			t.Errorf("99 tokens took %v s: a stall of 1 s was waited for", seconds)
		}
		if limit := 4 + r.RemoteCalls/20; r.Hedges > limit {
			t.Errorf("%d hedges of %d calls", r.Hedges, r.RemoteCalls)
		}
	})
}

// When everybody is slow, hedges stay within their budget.
func TestHedgesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		swarm := newToySwarm(all, all)
		for _, p := range swarm.peers {
			p.delay = func(call int) time.Duration { return time.Duration(call+1+call*7%5) * ms } // ever slower
		}
		ctx := withTally(t.Context(), &tally{})
		for range 400 {
			if _, err := swarm.Run(ctx, toyBatch(1, false)); err != nil {
				t.Fatal(err)
			}
		}
		got := tallyOf(ctx)
		if got.hedges == 0 || got.hedges > 4+got.calls/20 {
			t.Errorf("%d hedges of %d calls", got.hedges, got.calls)
		}
	})
}

func TestTooLargeIsSplit(t *testing.T) {
	swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
	whole := swarm.peers[0].Runner
	swarm.peers[0].Runner = runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		if len(b.Slots) > 7 {
			return nil, experts.ErrTooLarge
		}
		return whole.Run(ctx, b)
	})
	b := toyBatch(20, false)
	want, err := whole.Run(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := swarm.Run(t.Context(), b)
	if err != nil || !bytes.Equal(rawBits(got), rawBits(want)) {
		t.Errorf("split by the peer's limit: %v", err)
	}
	swarm.config.Limits.Patience = ms
	swarm.peers[0].Runner = runnerFunc(func(context.Context, experts.Batch) ([]float32, error) { return nil, experts.ErrTooLarge })
	if _, err := swarm.Run(t.Context(), b); !errors.Is(err, experts.ErrTooLarge) {
		t.Errorf("a peer that takes nothing: %v", err)
	}
}

type runnerFunc func(context.Context, experts.Batch) ([]float32, error)

func (f runnerFunc) Run(ctx context.Context, b experts.Batch) ([]float32, error) { return f(ctx, b) }

func TestBadRequestIsNotRepeated(t *testing.T) {
	all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
	swarm := newToySwarm(all, all)
	for _, p := range swarm.peers {
		p.fail = dead(0, experts.ErrBadRequest)
	}
	if _, err := swarm.Run(t.Context(), toyBatch(2, false)); !errors.Is(err, experts.ErrBadRequest) {
		t.Errorf("%v", err)
	}
	if n := swarm.peers[0].calls.Load() + swarm.peers[1].calls.Load(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestCancelEndsABatchAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3), experts.SetOf(4, 5, 6, 7))
		for _, p := range swarm.peers {
			p.delay = func(int) time.Duration { return time.Second }
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		begin := time.Now()
		_, err := swarm.Run(ctx, toyBatch(4, false))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, experts.ErrNotHeld) || time.Since(begin) != 100*ms {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		synctest.Wait()
		if swarm.health.resting("a", time.Now()) {
			t.Error("a caller's impatience was held against the peer")
		}
	})
}

// A layer's time is bounded even if one replica after another takes its whole time.
func TestLayerTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		swarm := newToySwarm(all, all, all, all, all)
		for _, p := range swarm.peers {
			p.hang = func(int) bool { return true }
		}
		begin := time.Now()
		_, err := swarm.Run(t.Context(), toyBatch(1, false))
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if !errors.Is(err, experts.ErrDeadline) || !strings.Contains(err.Error(), "layer 2, experts ") || !strings.Contains(err.Error(), "start a node with --layers 2") {
			t.Errorf("%v", err)
		}
	})
}

// The swarm's own cost of a token's layer: eight experts of 128 on three peers that answer at once.
func BenchmarkSwarm(b *testing.B) {
	moe := toyMoE
	moe.Experts, moe.Hidden = 128, 2048
	var thirds [3]experts.Set
	for e := range moe.Experts {
		thirds[e%3] = thirds[e%3].With(e)
	}
	dir := &directory{}
	for i, set := range thirds {
		dir.add(experts.Holder{Peer: string(rune('a' + i)), Holds: experts.Holdings{1: set}, Runner: runnerFunc(func(_ context.Context, b experts.Batch) ([]float32, error) {
			return make([]float32, b.ReplyRows()*b.Hidden), nil
		})})
	}
	swarm := NewSwarm(SwarmConfig{Model: toyDigest, MoE: moe, Directory: dir})
	for _, sum := range []bool{false, true} {
		name := "rows"
		if sum {
			name = "sum"
		}
		b.Run(name, func(b *testing.B) {
			batch := experts.Batch{Model: toyDigest, Layer: 1, Hidden: moe.Hidden, X: make([]float32, moe.Hidden), Sum: sum}
			for j := range 8 {
				batch.Slots = append(batch.Slots, experts.Slot{Expert: 13 * j, Weight: 1})
			}
			ctx := withTally(b.Context(), &tally{})
			for b.Loop() {
				if _, err := swarm.Run(ctx, batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
