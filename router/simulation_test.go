package router

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"shoal/experts"
	"shoal/model"
)

// scripted is a Sequence that says a given text, whatever it is fed: what follows position p is text[p+1].
type scripted struct {
	text   []int
	vocab  int
	trunk  time.Duration // of a layer
	perRow time.Duration // of a layer for each further row
	pos, n int
}

func (s *scripted) Position() int                         { return s.pos }
func (s *scripted) Capacity() int                         { return len(s.text) }
func (s *scripted) Truncate(pos int) error                { s.pos = pos; return nil }
func (s *scripted) Embed(tokens []int) error              { s.n = len(tokens); return nil }
func (s *scripted) FFN(int) error                         { return nil }
func (s *scripted) Experts(int, model.LayerExperts) error { return nil }
func (s *scripted) Combine(int, []float32) error          { return nil }
func (s *scripted) CombineSum(int, []float32) error       { return nil }
func (s *scripted) Finish() error                         { s.pos += s.n; return nil }

func (s *scripted) Attend(int) error {
	time.Sleep(s.trunk + time.Duration(s.n-1)*s.perRow)
	return nil
}

func (s *scripted) Route(int) ([]float32, model.Routes, error) {
	r := model.Routes{K: 1, Experts: make([]uint32, s.n), Weights: make([]float32, s.n)}
	return make([]float32, s.n*toyMoE.Hidden), r, nil
}

func (s *scripted) Logits(all bool) ([]float32, error) {
	first := s.n - 1
	if all {
		first = 0
	}
	out := make([]float32, (s.n-first)*s.vocab)
	for i := first; i < s.n; i++ {
		out[(i-first)*s.vocab+s.text[min(s.pos+i+1, len(s.text)-1)]] = 1
	}
	return out, s.Finish()
}

// link is a peer at the end of a network link.
type link struct {
	rtt, perRow, jitter time.Duration
	rng                 *rand.Rand
}

func (l *link) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	wait := l.rtt + time.Duration(b.Rows())*l.perRow
	if l.jitter > 0 {
		wait += time.Duration(l.rng.ExpFloat64() * float64(l.jitter))
	}
	select {
	case <-time.After(wait):
		return make([]float32, b.ReplyRows()*b.Hidden), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// The kinds of text that a simulation says: a prompt of 200 tokens and what follows.
const simulatedVocab = 2000

var simulatedTexts = []struct {
	name    string
	repeats bool
	text    func(rng *rand.Rand, n int) []int
}{
	{"repeats its prompt", true, func(rng *rand.Rand, n int) []int {
		text := uniformText(rng, 200)
		for len(text) < n {
			text = append(text, text[len(text)-200])
		}
		return text
	}},
	{"quotes its prompt", true, func(rng *rand.Rand, n int) []int {
		// Passages of the prompt in any order, a few words of its own between them.
		text := uniformText(rng, 200)
		for len(text) < n {
			at := rng.IntN(150)
			text = append(text, text[at:at+20+rng.IntN(30)]...)
			text = append(text, uniformText(rng, 3)...)
		}
		return text[:n]
	}},
	{"says one thing over and over", true, func(rng *rand.Rand, n int) []int {
		text := uniformText(rng, 200)
		for len(text) < n {
			text = append(text, text[len(text)-3])
		}
		return text
	}},
	{"never repeats", false, func(rng *rand.Rand, n int) []int { return rng.Perm(max(n, simulatedVocab))[:n] }},
	{"repeats words by chance", false, func(rng *rand.Rand, n int) []int { return uniformText(rng, n) }},
	{"repeats common words", false, func(rng *rand.Rand, n int) []int {
		zipf := rand.NewZipf(rng, 1.2, 2, simulatedVocab-1)
		text := make([]int, n)
		for i := range text {
			text[i] = int(zipf.Uint64())
		}
		return text
	}},
	{"looks like a repetition and is none", false, func(rng *rand.Rand, n int) []int {
		// Phrases of four tokens that go on differently each time.
		phrases := uniformText(rng, 40)
		var text []int
		for len(text) < n {
			at := 4 * rng.IntN(10)
			text = append(append(text, phrases[at:at+4]...), uniformText(rng, 6)...)
		}
		return text[:n]
	}},
}

func uniformText(rng *rand.Rand, n int) []int {
	text := make([]int, n)
	for i := range text {
		text[i] = rng.IntN(simulatedVocab)
	}
	return text
}

// simulatedLinks are where the time of a pass goes.
var simulatedLinks = []struct {
	name string
	pays bool // several rows cost less than as many passes
	seq  scripted
	link link
}{
	{"RTT 30 ms", true, scripted{trunk: 100 * time.Microsecond}, link{rtt: 30 * ms}},
	{"RTT 30 ms at 20 Mbit/s", true, scripted{trunk: 100 * time.Microsecond, perRow: 50 * time.Microsecond}, link{rtt: 30 * ms, perRow: 1600 * time.Microsecond}},
	{"RTT 30 ms with jitter", true, scripted{trunk: 100 * time.Microsecond}, link{rtt: 30 * ms, perRow: 800 * time.Microsecond, jitter: 5 * ms}},
	{"no network, rows cost as much as passes", false, scripted{trunk: 5 * ms, perRow: 5 * ms}, link{}},
}

func TestSpeculationOverALink(t *testing.T) {
	for _, l := range simulatedLinks {
		for _, text := range simulatedTexts {
			t.Run(l.name+"/"+text.name, func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(3) {
					const prompt, tokens = 200, 120
					words := text.text(rand.New(rand.NewPCG(seed, 1)), prompt+tokens+1)
					run := func(drafters ...Drafter) Report {
						return simulate(t, l.seq, l.link, nil, words, prompt, tokens, drafters...)
					}
					plain, guessed := run(), run(NewLookup())
					if !slices.Equal(guessed.Tokens, plain.Tokens) || !slices.Equal(plain.Tokens, words[prompt:prompt+tokens]) {
						t.Fatal("other tokens")
					}
					ratio := guessed.TokensPerSecond / plain.TokensPerSecond
					t.Logf("seed %d: %.3f times as fast, %.2f tokens a pass, %d of %d guesses right", seed, ratio, guessed.TokensPerPass, guessed.Accepted, guessed.Drafted)
					want := .95
					if text.repeats && l.pays {
						want = 2
					}
					if ratio < want {
						t.Errorf("seed %d: %.3f times as fast, want %v", seed, ratio, want)
					}
				}
			})
		}
	}
}

// Every layer that is held here saves its round trip.
func TestLayersHeldHereOverALink(t *testing.T) {
	words := uniformText(rand.New(rand.NewPCG(1, 1)), 200)
	l := simulatedLinks[0]
	all := simulate(t, l.seq, l.link, nil, words, 100, 60)
	for here := range len(toyMoE.Layers) {
		r := simulate(t, l.seq, l.link, toyMoE.Layers[:here], words, 100, 60)
		left := len(toyMoE.Layers) - here
		if r.RemoteLayersPerToken != float64(left) || r.RoundTripsPerToken != float64(left) {
			t.Errorf("%d layers here: %v remote layers, %v round trips a token", here, r.RemoteLayersPerToken, r.RoundTripsPerToken)
		}
		ratio, want := r.TokensPerSecond/all.TokensPerSecond, float64(len(toyMoE.Layers))/float64(left)
		if ratio < .95*want {
			t.Errorf("%d of %d layers here: %.2f times as fast, want %.2f", here, len(toyMoE.Layers), ratio, want)
		}
	}
}

// simulate generates tokens after a prompt, with some layers held here and the others at the end of the link.
func simulate(t *testing.T, seq scripted, l link, here, words []int, prompt, tokens int, drafters ...Drafter) (r Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		seq.text, seq.vocab = words, simulatedVocab
		for _, w := range words {
			seq.vocab = max(seq.vocab, w+1)
		}
		l.rng = rand.New(rand.NewPCG(7, 7))
		holds := experts.Holdings{}
		for _, layer := range toyMoE.Layers {
			holds[layer] = experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7)
		}
		dir := &directory{}
		dir.add(experts.Holder{Peer: "a", Holds: holds, Runner: &l})
		swarm := NewSwarm(SwarmConfig{Model: toyDigest, MoE: toyMoE, Directory: dir})
		s, err := NewSession(&seq, Config{
			Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: swarm, Mode: Fast, Drafters: drafters,
			Device: func(layer int) (model.LayerExperts, bool) { return nil, slices.Contains(here, layer) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if r, err = s.Generate(t.Context(), Request{Prompt: words[:prompt], MaxTokens: tokens}); err != nil {
			t.Fatal(fmt.Errorf("after %d tokens: %w", len(r.Tokens), err))
		}
	})
	return r
}
