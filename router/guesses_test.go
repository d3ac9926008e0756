package router_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/model"
	"shoal/rdrr/convert"
	"shoal/router"
)

// Real layers of every family with experts, on one device and on three nodes: whoever guesses, the tokens are those of plain
// decoding, since a row's bits do not depend on the rows beside it.
func TestGuessesDoNotShowInAnyFamily(t *testing.T) {
	entries, err := os.ReadDir(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		dir := filepath.Join(fixtures, entry.Name())
		config, err := convert.ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := model.Parse(config)
		if err != nil {
			t.Fatal(err)
		}
		if spec.MoE() == nil {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, dir, spec)
			for name, sampling := range map[string]router.Sampling{"greedy": {}, "sampled": {Temperature: .8, TopP: .95, Seed: 6}} {
				plain := c.guess(t, c.alone(), sampling)
				if plain.Passes != len(plain.Tokens)-1 || plain.Drafted != 0 {
					t.Errorf("%s: plain decoding made %d tokens in %d passes, %d guesses", name, len(plain.Tokens), plain.Passes, plain.Drafted)
				}
				text := slices.Concat(prompt, plain.Tokens)
				for place, config := range map[string]router.Config{"alone": c.alone(), "three nodes": c.swarm(router.Exact)} {
					for _, lies := range []float64{0, .3} {
						config.Drafters = []router.Drafter{&teller{text: text, lies: lies, vocab: spec.Vocab}}
						config.Draft = 5
						r := c.guess(t, config, sampling)
						if !slices.Equal(r.Tokens, plain.Tokens) {
							t.Errorf("%s, %s, %v lies: %v\nplain %v", name, place, lies, r.Tokens, plain.Tokens)
						}
						if lies == 0 && (r.Accepted != r.Drafted || r.TokensPerPass < 4) || lies > 0 && (r.Accepted == r.Drafted || r.Accepted == 0) {
							t.Errorf("%s, %s, %v lies: %d of %d right, %v tokens a pass", name, place, lies, r.Accepted, r.Drafted, r.TokensPerPass)
						}
					}
					seq, err := c.trunk.NewSequence(64)
					if err != nil {
						t.Fatal(err)
					}
					own, err := router.NewSession(seq, c.alone())
					if err != nil {
						t.Fatal(err)
					}
					config.Drafters = []router.Drafter{router.NewLookup(), router.NewModelDrafter(own, spec.Vocab)}
					config.Draft = 0
					if r := c.guess(t, config, sampling); !slices.Equal(r.Tokens, plain.Tokens) || r.DraftError != "" {
						t.Errorf("%s, %s, a model's guesses: %v, %s\nplain %v", name, place, r.Tokens, r.DraftError, plain.Tokens)
					}
					seq.Close()
				}
			}
		})
	}
}

// teller is a Drafter that knows the text and lies at times.
type teller struct {
	text  []int
	lies  float64
	vocab int
}

func (d *teller) Prior() []float64      { return []float64{.5} }
func (d *teller) Look([]int) (int, int) { return -1, 0 }

func (d *teller) Draft(_ context.Context, text []int, n int, _ *router.Sampler) ([]int, error) {
	rng := rand.New(rand.NewPCG(uint64(len(text)), 1))
	var out []int
	for i := 0; i < n && len(text)+i < len(d.text); i++ {
		token := d.text[len(text)+i]
		if rng.Float64() < d.lies {
			token = rng.IntN(d.vocab)
		}
		out = append(out, token)
	}
	return out, nil
}

// guess generates more than a chunk of tokens.
func (c *cluster) guess(t *testing.T, config router.Config, sampling router.Sampling) router.Report {
	t.Helper()
	seq, err := c.trunk.NewSequence(64)
	if err != nil {
		t.Fatal(err)
	}
	defer seq.Close()
	s, err := router.NewSession(seq, config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Generate(t.Context(), router.Request{Prompt: prompt, MaxTokens: 48, Sampling: sampling})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
