package router_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"shoal/experts"
	"shoal/experts/host"
	"shoal/experts/runnertest"
	"shoal/gpu/cpu"
	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/router"
)

const (
	fixtures = "../testdata/fixtures-small"
	rows     = 32 // that the trunk takes in a step
)

// Real layers of every family with experts: a model alone on its device, and the same with its experts on three nodes of
// which each has two thirds, one of them lost in mid-token, give the same tokens.
func TestExactModeIsPlacementFree(t *testing.T) {
	entries, err := os.ReadDir(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
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
		tried++
		t.Run(entry.Name(), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, dir, spec)
			want := c.generate(t, c.alone(), nil)
			if slices.Max(want) == slices.Min(want) {
				t.Errorf("alone: only token %d", want[0])
			}
			if got := c.best(t, c.alone(), len(want)); !slices.Equal(got, want) {
				t.Errorf("chosen on the device %v\nchosen from logits %v", got, want)
			}
			for _, chunk := range []int{rows, 3} {
				config := c.swarm(router.Exact)
				config.Chunk = chunk
				if got := c.generate(t, config, nil); !slices.Equal(got, want) {
					t.Errorf("chunks of %d: on three nodes %v\nalone %v", chunk, got, want)
				}
			}
			lose := func(n int) {
				if n == 5 {
					c.loseOne.Store(true) // the next to be asked
				}
			}
			if got := c.generate(t, c.swarm(router.Exact), lose); !slices.Equal(got, want) {
				t.Errorf("one node lost: %v\nalone %v", got, want)
			}
		})
	}
	if tried == 0 {
		t.Fatalf("no fixture in %s has experts", fixtures)
	}
}

// Sums that are rounded elsewhere stay close.
func TestFastModeIsClose(t *testing.T) {
	dir := filepath.Join(fixtures, "qwen3-moe")
	config, err := convert.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := model.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, dir, spec)
	exact, fast := c.score(t, c.alone()), c.score(t, c.swarm(router.Fast))
	// Both modes sum the same float32 rows in another order: a few rounding errors of 2^-24 a layer.
	if nmse := runnertest.NMSE(fast, exact); !(nmse <= 1e-11) {
		t.Errorf("normalised mean square error of the logits %g", nmse)
	}
}

// cluster is a model's trunk with all its experts, and three nodes beside it.
type cluster struct {
	model *rdrr.Model
	trunk *model.Trunk
	whole *host.Host // on the trunk's device
	nodes []*node

	loseOne atomic.Bool
}

// node runs experts on a device of its own until it is lost.
type node struct {
	*host.Host
	loseOne *atomic.Bool // the node that takes it is lost
	lost    atomic.Bool
}

func (n *node) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if n.loseOne.CompareAndSwap(true, false) {
		n.lost.Store(true)
	}
	if n.lost.Load() {
		return nil, experts.ErrGone
	}
	return n.Host.Run(ctx, b)
}

func newCluster(t *testing.T, dir string, spec *model.Spec) *cluster {
	t.Helper()
	out := filepath.Join(t.TempDir(), "model")
	if _, err := convert.Run(t.Context(), convert.Options{Input: dir, Output: out, Quantize: "none", Tensors: spec.Tensors(), MoE: spec.MoE()}); err != nil {
		t.Fatal(err)
	}
	c := &cluster{}
	var err error
	if c.model, err = rdrr.OpenDir(out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.model.Close() })
	dev := cpu.New(1)
	t.Cleanup(dev.Close)
	if c.trunk, err = model.Load(dev, c.model, model.Options{Rows: rows}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.trunk.Close)
	if c.whole, err = host.New(dev, c.model); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.whole.Close)
	moe := c.model.MoE()
	for i := range 3 {
		dev := cpu.New(1)
		t.Cleanup(dev.Close)
		h, err := host.New(dev, c.model)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		c.nodes = append(c.nodes, &node{Host: h, loseOne: &c.loseOne})
		for _, layer := range moe.Layers {
			var all, some []int
			for e := range moe.Experts {
				all = append(all, e)
				if (e+layer)%3 != i {
					some = append(some, e)
				}
			}
			if err := h.Load(t.Context(), layer, some); err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				continue
			}
			if err := c.whole.Load(t.Context(), layer, all); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func (c *cluster) config() router.Config {
	return router.Config{Model: c.model.Digest(), Layers: len(c.trunk.Spec().Layers), MoE: c.model.MoE(), Chunk: rows}
}

func (c *cluster) alone() router.Config {
	config := c.config()
	config.Device = func(layer int) (model.LayerExperts, bool) { return c.whole.Layer(layer) }
	return config
}

func (c *cluster) swarm(mode router.Mode) router.Config {
	config := c.config()
	config.Mode = mode
	config.Experts = router.NewSwarm(router.SwarmConfig{Model: config.Model, MoE: *config.MoE, Directory: c})
	return config
}

// Holders makes the cluster a Directory.
func (c *cluster) Holders() []experts.Holder {
	var out []experts.Holder
	for i, n := range c.nodes {
		out = append(out, experts.Holder{Peer: fmt.Sprint("node ", i), Holds: n.Holdings(), Runner: n})
	}
	return out
}

var prompt = []int{11, 7, 200, 3, 3, 150, 42, 9, 77, 120, 5}

// generate makes tokens; each sees how many there were before, nil for nobody.
func (c *cluster) generate(t *testing.T, config router.Config, each func(n int)) []int {
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
	n := 0
	r, err := s.Generate(t.Context(), router.Request{Prompt: prompt, MaxTokens: 24, OnToken: func(int) error {
		if each != nil {
			each(n)
		}
		n++
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if remote := config.Experts != nil; remote != (r.RemoteCalls > 0) || each != nil && r.Failovers == 0 {
		t.Errorf("%d remote calls, %d failovers", r.RemoteCalls, r.Failovers)
	}
	return r.Tokens
}

// best is greedy text whose tokens are chosen on the trunk's device, its prompt fed in chunks.
func (c *cluster) best(t *testing.T, config router.Config, n int) (tokens []int) {
	t.Helper()
	seq, err := c.trunk.NewSequence(64)
	if err != nil {
		t.Fatal(err)
	}
	defer seq.Close()
	config.Chunk = 3
	s, err := router.NewSession(seq, config)
	if err != nil {
		t.Fatal(err)
	}
	for next := prompt; len(tokens) < n; next = tokens[len(tokens)-1:] {
		token, err := s.Best(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}

func (c *cluster) score(t *testing.T, config router.Config) []float32 {
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
	logits, err := s.Score(t.Context(), prompt)
	if err != nil {
		t.Fatal(err)
	}
	return logits
}
