package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"shoal/experts"
	"shoal/experts/runnertest"
)

// guesser is a Drafter that knows a text and lies at times.
type guesser struct {
	text  []int
	lies  float64 // share of guesses that are wrong
	most  int     // guesses at once, 0: as many as asked for
	fails error
	rng   *rand.Rand
	asked int
}

func (g *guesser) Prior() []float64 { return []float64{.5, .5} }

func (g *guesser) Look(text []int) (token, grade int) { return -1, 0 }

func (g *guesser) Draft(_ context.Context, text []int, n int, _ *Sampler) ([]int, error) {
	if g.asked++; g.fails != nil {
		return nil, g.fails
	}
	if g.most > 0 {
		n = min(n, g.most)
	}
	out := make([]int, n)
	for i := range out {
		if at := len(text) + i; at < len(g.text) {
			out[i] = g.text[at]
		}
		if g.rng.Float64() < g.lies {
			out[i] = g.rng.IntN(toyVocab)
		}
	}
	return out, nil
}

// guessingSession has all experts in one plain Runner, and drafters.
func guessingSession(draft int, drafters ...Drafter) *Session {
	s, err := NewSession(&toy{}, Config{
		Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: runnertest.Random(toyMoE, runnertest.All(toyMoE), 1), Chunk: 6,
		Drafters: drafters, Draft: draft,
	})
	if err != nil {
		panic(err)
	}
	return s
}

var samplings = map[string]Sampling{
	"greedy": {}, "sampled": {Temperature: 1, Seed: 5}, "cut": {Temperature: 1.5, TopK: 12, TopP: .9, Seed: 2},
}

// Whatever is guessed, and however much of it is right: the tokens, what the sequence holds afterwards and why it ended are
// those of plain decoding.
func TestGuessesDoNotShow(t *testing.T) {
	enough := errors.New("enough")
	type outcome struct {
		tokens, seen, held []int
		stopped, err       string
		position           int
		continued          []int
	}
	run := func(s *Session, r Request, then string) (Report, outcome) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var o outcome
		r.Prompt = toyPrompt
		r.OnToken = func(token int) error {
			o.seen = append(o.seen, token)
			switch {
			case len(o.seen) == 23 && then == "enough":
				return enough
			case len(o.seen) == 23 && then == "cancelled":
				cancel()
			}
			return nil
		}
		report, err := s.Generate(ctx, r)
		o.tokens, o.held, o.stopped, o.err, o.position = report.Tokens, slices.Clone(s.text), report.Stopped, fmt.Sprint(err), s.Position()
		if then == "enough" { // the next text goes on from the same state
			more, err := s.Generate(t.Context(), Request{Prompt: o.tokens[22:], MaxTokens: 10, Sampling: r.Sampling})
			if err != nil {
				t.Error(err)
			}
			o.continued = more.Tokens
		}
		return report, o
	}
	for name, sampling := range samplings {
		plain, err := guessingSession(0).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 60, Sampling: sampling})
		if err != nil {
			t.Fatal(err)
		}
		all := plain.Tokens
		text := slices.Concat(toyPrompt, all)
		drafters := map[string]func() []Drafter{
			"lookup":     func() []Drafter { return []Drafter{NewLookup()} },
			"same model": func() []Drafter { return []Drafter{NewModelDrafter(guessingSession(0), toyVocab)} },
			"both":       func() []Drafter { return []Drafter{NewLookup(), NewModelDrafter(guessingSession(0), toyVocab)} },
		}
		for _, lies := range []float64{0, .2, .6, 1} {
			drafters[fmt.Sprintf("%v lies", lies)] = func() []Drafter {
				return []Drafter{&guesser{text: text, lies: lies, rng: rand.New(rand.NewPCG(1, 2))}}
			}
		}
		for then, request := range map[string]Request{
			"length": {MaxTokens: 50}, "one token": {MaxTokens: 1}, "two tokens": {MaxTokens: 2},
			"stop": {MaxTokens: 50, Stop: []int{all[len(all)/2]}}, "stop at once": {MaxTokens: 50, Stop: []int{all[0]}},
			"enough": {MaxTokens: 50}, "cancelled": {MaxTokens: 50},
		} {
			request.Sampling = sampling
			_, want := run(guessingSession(0), request, then)
			for drafter, make := range drafters {
				for _, draft := range []int{0, 2, 100} {
					what := fmt.Sprintf("%s, %s, %d guesses, %s", name, drafter, draft, then)
					r, got := run(guessingSession(draft, make()...), request, then)
					if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
						t.Fatalf("%s: plain decoding -, with guesses +\n%s", what, diff)
					}
					right := drafter == "0 lies" || drafter == "same model"
					if right && draft > 0 && then == "length" && (r.Accepted != r.Drafted || r.TokensPerPass < 2.5) {
						t.Errorf("%s: %d of %d right, %v tokens a pass", what, r.Accepted, r.Drafted, r.TokensPerPass)
					}
				}
			}
		}
	}
}

// A small context ends a text where it ends plain decoding, with the same error.
func TestGuessesStayInTheContext(t *testing.T) {
	for room := len(toyPrompt); room < len(toyPrompt)+20; room++ {
		run := func(drafters ...Drafter) (Report, error) {
			s := guessingSession(7, drafters...)
			s.seq.(*toy).capacity = room
			return s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 40})
		}
		want, wantErr := run()
		got, err := run(&guesser{text: slices.Concat(toyPrompt, alone(t.Context(), 40)), rng: rand.New(rand.NewPCG(1, 1))})
		if !slices.Equal(got.Tokens, want.Tokens) || len(got.Tokens) != room-len(toyPrompt)+1 || err == nil || err.Error() != wantErr.Error() {
			t.Errorf("context of %d: %d tokens, %v; plain %d, %v", room, len(got.Tokens), err, len(want.Tokens), wantErr)
		}
		// A drafter's own context may be shorter.
		model := guessingSession(0)
		model.seq.(*toy).capacity = room
		got, err = guessingSession(7, NewModelDrafter(model, toyVocab)).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 40})
		if err != nil || len(got.Tokens) != 40 || got.DraftError != "" {
			t.Errorf("drafter's context of %d: %d tokens, %v, %s", room, len(got.Tokens), err, got.DraftError)
		}
	}
}

func TestDrafterFails(t *testing.T) {
	bad := &guesser{fails: errors.New("no more guesses")}
	s := guessingSession(0, bad)
	for range 2 {
		asked := bad.asked
		r, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 40})
		if err != nil || r.DraftError != "no more guesses" || bad.asked != asked+1 {
			t.Errorf("%v, %q, asked %d times", err, r.DraftError, bad.asked-asked)
		}
		if err := s.Truncate(0); err != nil || len(s.text) != 0 {
			t.Error(err, s.text)
		}
	}
}

// A guess that needs an expert nobody holds any more does not end a text that does not need it.
func TestGuessNeedsALostExpert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		swarm.peers[0].delay = func(int) time.Duration { return ms }
		rows := int64(0)
		swarm.peers[0].fail = func(call int) error { // it answers nothing but single tokens after the prompt
			before := rows
			if rows = swarm.peers[0].rows.Load(); call >= 9 && rows > before+1 {
				return experts.ErrGone
			}
			return nil
		}
		config := swarm.session(Exact).config
		config.Drafters, config.Draft = []Drafter{&guesser{rng: rand.New(rand.NewPCG(1, 1))}}, 3
		s, err := NewSession(&toy{}, config)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 20})
		if err != nil || !slices.Equal(r.Tokens, alone(t.Context(), 20)) || r.Drafted != 0 || r.Passes != 19 {
			t.Errorf("%v, %v, %d drafted, %d passes", r.Tokens, err, r.Drafted, r.Passes)
		}
	})
}

// The news that an expert is lost takes no longer because something was guessed.
func TestLostExpertsWithGuesses(t *testing.T) {
	for name, kill := range map[string]func(p *fakePeer){
		"unreachable": func(p *fakePeer) { p.fail = dead(15, experts.ErrGone) },
		"silent":      func(p *fakePeer) { p.hang = func(call int) bool { return call >= 15 } },
		"busy":        func(p *fakePeer) { p.fail = dead(15, experts.ErrBusy) },
	} {
		synctest.Test(t, func(t *testing.T) {
			swarm := newToySwarm(experts.SetOf(0, 1, 2, 3), experts.SetOf(4, 5, 6, 7))
			kill(swarm.peers[1])
			config := swarm.session(Exact).config
			text := slices.Concat(toyPrompt, alone(t.Context(), 100))
			config.Drafters, config.Draft = []Drafter{&guesser{text: text, lies: .5, rng: rand.New(rand.NewPCG(1, 1))}}, 4
			s, err := NewSession(&toy{}, config)
			if err != nil {
				t.Fatal(err)
			}
			var last time.Time
			r, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 100, OnToken: func(int) error { last = time.Now(); return nil }})
			var missing *MissingError
			if !errors.As(err, &missing) || len(r.Tokens) == 0 || !slices.Equal(r.Tokens, alone(t.Context(), len(r.Tokens))) {
				t.Errorf("%s: %v, %v", name, r.Tokens, err)
			}
			if took := time.Since(last); took > 5*time.Second {
				t.Errorf("%s: the error took %v", name, took)
			}
		})
	}
}

// The report counts tokens, not passes; the law has as many tokens a pass as were made.
func TestReportOfGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		swarm := newToySwarm(experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7))
		swarm.peers[0].delay = func(int) time.Duration { return 10 * ms }
		config := swarm.session(Fast).config
		config.Drafters = []Drafter{&guesser{text: slices.Concat(toyPrompt, alone(t.Context(), 21)), most: 3, rng: rand.New(rand.NewPCG(1, 1))}}
		config.Draft = 8
		s, err := NewSession(&toy{}, config)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 21})
		if err != nil {
			t.Fatal(err)
		}
		near := func(name string, got, want float64) {
			if math.Abs(got-want) > 1e-6*want {
				t.Errorf("%s = %v, want %v", name, got, want)
			}
		}
		near("tokens per pass", r.TokensPerPass, 4)
		near("tokens per second", r.TokensPerSecond, 4000./30)
		near("round trips", r.RoundTripsPerToken, 3./4)
		near("remote layers", r.RemoteLayersPerToken, 3)
		near("share of the law", r.LawShare, 1)
		if r.Passes != 5 || r.Drafted != 15 || r.Accepted != 15 || len(r.Tokens) != 21 {
			t.Errorf("%+v", r)
		}
	})
}

// A drafter that draws from the same distribution with the same random numbers is always right.
func TestForkedSampler(t *testing.T) {
	s := NewSampler(Sampling{Temperature: 1, Seed: 3})
	logits := make([]float32, 100)
	for range 5 {
		fork := s.fork()
		var want, got []int
		for range 10 {
			a, _ := fork.Sample(logits)
			want = append(want, a)
		}
		for range 10 {
			a, _ := s.Sample(logits)
			got = append(got, a)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, forked %v", got, want)
		}
	}
}

// With no guess right, the credit bounds what is lost, whatever a row costs.
func TestCreditBoundsLosses(t *testing.T) {
	for _, slope := range []float64{0, .01, .05, .1, .3, 1, 1.5} {
		for _, passes := range []int{40, 100, 1000} {
			s := newSpeculation([]Drafter{&guesser{rng: rand.New(rand.NewPCG(1, 1)), text: make([]int, 100000), lies: 1}}, 0)
			s.begin()
			c := passCost{1, slope}
			total := 0.
			for i := range passes {
				g := s.draft(t.Context(), make([]int, i+1), MaxDraft, NewSampler(Sampling{}))
				for j := range g.tokens {
					g.tokens[j] = 1
				}
				g.seconds = 0
				total += c.pass(len(g.tokens))
				s.learn(g, []int{0}, c.pass(len(g.tokens)))
			}
			if ratio := float64(passes) / total; ratio < .95 {
				t.Errorf("%d passes, %v for a row: %.3f times as fast", passes, slope, ratio)
			}
		}
	}
}

// What guessing costs a pass beside the drafts themselves.
func BenchmarkSpeculation(b *testing.B) {
	text := uniformText(rand.New(rand.NewPCG(1, 1)), 2000+b.N)
	s := newSpeculation([]Drafter{NewLookup()}, 0)
	s.begin()
	sampler := NewSampler(Sampling{})
	for i := range b.N {
		g := s.draft(b.Context(), text[:2000+i], MaxDraft, sampler)
		s.learn(g, text[2000+i:][:1], .001)
	}
}

func TestNewSessionWithoutDrafters(t *testing.T) {
	r, err := guessingSession(5).Generate(t.Context(), Request{Prompt: toyPrompt, MaxTokens: 5})
	if err != nil || r.Drafted != 0 || r.Passes != 4 || r.TokensPerPass != 1 || r.DraftError != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
