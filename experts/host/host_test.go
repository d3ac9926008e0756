package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/experts"
	"shoal/experts/runnertest"
	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

var moe = rdrr.MoE{Layers: []int{1, 2}, Experts: 6, TopK: 2, Hidden: 64, Intermediate: 96, Activation: "silu"}

// newHost returns a host of random experts in the given format that holds what is named.
func newHost(t *testing.T, moe rdrr.MoE, format quant.Type, holds experts.Holdings) (*Host, *rdrr.Model) {
	t.Helper()
	_, m := writeArtifact(t, moe, format, 1)
	dev := cpu.New(2)
	t.Cleanup(dev.Close)
	h, err := New(dev, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	load(t, h, holds)
	return h, m
}

func load(t *testing.T, h *Host, holds experts.Holdings) {
	t.Helper()
	for _, layer := range holds.Layers() {
		if err := h.Load(t.Context(), layer, holds[layer].Experts()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHostIsARunner(t *testing.T) {
	tests := []struct {
		format     quant.Type
		activation string
		bias       bool
	}{
		{quant.F32, "silu", false},
		{quant.F32, "swiglu_oai", true},
		{quant.BF16, "gelu_tanh", false},
		{quant.Q8_0, "silu", false},
		{quant.Q4_K, "silu", false},
		{quant.MXFP4, "swiglu_oai", true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s", tt.format, tt.activation), func(t *testing.T) {
			moe := moe
			moe.Activation, moe.Bias = tt.activation, tt.bias
			holds := experts.Holdings{1: experts.SetOf(0, 2, 5), 2: span(0, 5)}
			h, m := newHost(t, moe, tt.format, holds)
			if diff := cmp.Diff(holds, h.Holdings()); diff != "" {
				t.Errorf("holdings (-want +got):\n%s", diff)
			}
			reference, err := runnertest.FromModel(m, holds)
			if err != nil {
				t.Fatal(err)
			}
			runnertest.Run(t, runnertest.Subject{Runner: h, Reference: reference})
		})
	}
}

// A batch that is run in parts has the bits of its slots run one by one, in both modes.
func TestPartsHaveTheSameBits(t *testing.T) {
	h, m := newHost(t, moe, quant.Q8_0, experts.Holdings{1: span(0, 5)})
	b := randomBatch(m.Digest(), 40, 1)
	whole, err := h.Run(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	sum := b
	sum.Sum = true
	wholeSum, err := h.Run(t.Context(), sum)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 7, 30} {
		rows, sums := make([]float32, len(whole)), make([]float32, len(wholeSum))
		s := &scratch{dev: h.dev}
		n := 0
		for p := range parts(b, limit) {
			if len(p.rows) > 1 && len(p.rows)*p.width > limit {
				t.Errorf("limit %d: a part of %d rows, %d wide", limit, len(p.rows), p.width)
			}
			n += p.slots
			if err := errors.Join(h.runPart(s, h.banks[1], b, p, rows), h.runPart(s, h.banks[1], sum, p, sums)); err != nil {
				t.Fatal(err)
			}
		}
		s.free()
		if n != len(b.Slots) {
			t.Errorf("limit %d: the parts have %d slots of %d", limit, n, len(b.Slots))
		}
		if !slices.Equal(rows, whole) || !slices.Equal(sums, wholeSum) {
			t.Errorf("limit %d: other bits than in one piece", limit)
		}
	}
}

// randomBatch has rows with 0 to 3 slots.
func randomBatch(model rdrr.Digest, rows int, seed uint64) experts.Batch {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := experts.Batch{Model: model, Layer: 1, Hidden: moe.Hidden, X: make([]float32, rows*moe.Hidden)}
	for i := range b.X {
		b.X[i] = float32(rng.NormFloat64())
	}
	for r := range rows {
		for _, e := range rng.Perm(moe.Experts)[:rng.IntN(4)] {
			b.Slots = append(b.Slots, experts.Slot{Row: r, Expert: e, Weight: rng.Float32()})
		}
	}
	return b
}

// The way without read-back gives the bits of Run, also when two trunks use the layer at once.
func TestLayerHasTheBitsOfRun(t *testing.T) {
	h, m := newHost(t, moe, quant.Q4_K, experts.Holdings{1: span(0, 5), 2: span(0, 4)})
	if _, ok := h.Layer(2); ok {
		t.Error("a layer with an expert missing is offered as whole")
	}
	if _, ok := h.Layer(0); ok {
		t.Error("a layer without experts is offered")
	}
	layer, ok := h.Layer(1)
	if !ok {
		t.Fatal("layer 1 is held, but not offered")
	}
	const n, k = 9, 2
	var wg sync.WaitGroup
	for trunk := range 2 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(trunk), 0))
			b := experts.Batch{Model: m.Digest(), Layer: 1, Hidden: moe.Hidden, X: make([]float32, n*moe.Hidden)}
			for i := range b.X {
				b.X[i] = float32(rng.NormFloat64())
			}
			ids := make([]uint32, 0, n*k)
			for r := range n {
				for _, e := range rng.Perm(moe.Experts)[:k] {
					ids = append(ids, uint32(e))
					b.Slots = append(b.Slots, experts.Slot{Row: r, Expert: e, Weight: 1})
				}
			}
			want, err := h.Run(t.Context(), b)
			if err != nil {
				t.Error(err)
				return
			}
			x, _ := h.dev.NewBuffer("x", gpu.F32, n*moe.Hidden)
			y, _ := h.dev.NewBuffer("y", gpu.F32, n*k*moe.Hidden)
			chosen, _ := h.dev.NewBuffer("ids", gpu.U32, n*k)
			for range 20 {
				err := errors.Join(h.dev.WriteFloats(x, 0, b.X), h.dev.WriteIDs(chosen, 0, ids))
				pass := h.dev.Begin()
				err = errors.Join(err, layer.Forward(pass, y, x, chosen, n, k))
				got := make([]float32, n*k*moe.Hidden)
				if err := errors.Join(err, pass.Submit(gpu.Readback{From: y, Floats: got})); err != nil {
					t.Error(err)
					return
				}
				if !slices.Equal(got, want) {
					t.Errorf("trunk %d: Forward and Run differ", trunk)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestLoadInSteps(t *testing.T) {
	h, m := newHost(t, moe, quant.F32, experts.Holdings{1: experts.SetOf(4)})
	b := experts.Batch{Model: m.Digest(), Layer: 1, Hidden: moe.Hidden, X: randomBatch(m.Digest(), 1, 3).X, Slots: []experts.Slot{{Row: 0, Expert: 4, Weight: 1}}}
	want, err := h.Run(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	// More experts come while the first one is being used.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if got, err := h.Run(t.Context(), b); err != nil || !slices.Equal(got, want) {
				t.Errorf("while loading: %v", err)
				return
			}
		}
	})
	load(t, h, experts.Holdings{1: experts.SetOf(0, 5)})
	load(t, h, experts.Holdings{1: span(0, 5)})
	load(t, h, experts.Holdings{1: experts.SetOf(2)}) // held already
	cancel()
	wg.Wait()
	if _, ok := h.Layer(1); !ok {
		t.Error("the layer is not whole after all its experts were loaded")
	}
}

func TestMemory(t *testing.T) {
	h, _ := newHost(t, moe, quant.Q8_0, nil)
	want := int64(3 * moe.Intermediate * moe.Hidden / 32 * 34)
	if h.ExpertBytes() != want {
		t.Errorf("an expert takes %d bytes, want %d", h.ExpertBytes(), want)
	}
	h.SetBudget(3*want + want/2)
	load(t, h, experts.Holdings{1: span(0, 1)})
	if h.Bytes() != 2*want {
		t.Errorf("two experts take %d bytes, want %d", h.Bytes(), 2*want)
	}
	err := h.Load(t.Context(), 2, []int{0, 1})
	if err == nil || !strings.Contains(err.Error(), "layer 2") || !strings.Contains(err.Error(), "room for 3") {
		t.Errorf("loading beyond the budget: %v", err)
	}
	load(t, h, experts.Holdings{2: span(0, 0)})
	if n := h.Holdings().Count(); n != 3 {
		t.Errorf("%d experts held, want 3", n)
	}
	before := h.dev.Allocated()
	h.Close()
	if after := h.dev.Allocated(); before <= 0 || after != 0 {
		t.Errorf("device memory %d before, %d after closing", before, after)
	}
}

func TestLoadRefuses(t *testing.T) {
	h, _ := newHost(t, moe, quant.F32, nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name  string
		ctx   context.Context
		layer int
		list  []int
		want  string
	}{
		{"a layer without experts", t.Context(), 0, []int{0}, "layer 0 has no routed experts; layers 1-2 have"},
		{"no such expert", t.Context(), 1, []int{6}, "layer 1 has no expert 6; it has experts 0-5"},
		{"a negative expert", t.Context(), 1, []int{-1}, "no expert -1"},
		{"cancelled", cancelled, 1, []int{0}, context.Canceled.Error()},
	} {
		if err := h.Load(tt.ctx, tt.layer, tt.list); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if n, used := h.Holdings().Count(), h.dev.Allocated(); n != 0 || used != 0 {
		t.Errorf("after refusals %d experts are held, %d bytes used", n, used)
	}
}

// A shard with a flipped byte is refused by name, and nothing of the layer is kept.
func TestLoadVerifies(t *testing.T) {
	dir, m := writeArtifact(t, moe, quant.F32, 1)
	shard := m.Manifest().Shards[m.Manifest().ExpertShards(1, 3)[0]].File
	m.Close()
	path := filepath.Join(dir, shard)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err = rdrr.OpenDir(dir); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dev := cpu.New(1)
	defer dev.Close()
	h, err := New(dev, m)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Load(t.Context(), 1, span(0, 5).Experts()); err == nil || !strings.Contains(err.Error(), shard) {
		t.Errorf("loading the damaged %s: %v", shard, err)
	}
	if n := h.Holdings().Count(); n != 0 || dev.Allocated() != 0 {
		t.Errorf("after the refusal %d experts are held, %d bytes used", n, dev.Allocated())
	}
	load(t, h, experts.Holdings{1: experts.SetOf(0, 1)}) // others are not affected
}

func TestRunRefuses(t *testing.T) {
	h, m := newHost(t, moe, quant.F32, experts.Holdings{1: experts.SetOf(0, 1, 4)})
	valid := experts.Batch{Model: m.Digest(), Layer: 1, Hidden: moe.Hidden, X: make([]float32, 2*moe.Hidden), Slots: []experts.Slot{{Row: 0, Expert: 0, Weight: 1}}}
	wide := make([]experts.Slot, MaxRowSlots+1)
	for _, tt := range []struct {
		name   string
		change func(*experts.Batch)
		is     error
		want   []string
	}{
		{"not held", func(b *experts.Batch) { b.Slots = []experts.Slot{{Row: 1, Expert: 3}} }, experts.ErrNotHeld, []string{"layer 1 expert 3", "experts 0-1,4"}},
		{"layer not held", func(b *experts.Batch) { b.Layer = 2 }, experts.ErrNotHeld, []string{"layer 2 expert 0", "nothing"}},
		{"wrong model", func(b *experts.Batch) { b.Model[0]++ }, experts.ErrWrongModel, []string{m.Digest().String(), "asked for"}},
		{"a row of many slots", func(b *experts.Batch) { b.Slots = wide }, experts.ErrTooLarge, []string{"row 0"}},
		{"a reply of many rows", func(b *experts.Batch) { b.Slots = make([]experts.Slot, MaxReplyValues/moe.Hidden+1) }, experts.ErrTooLarge, []string{"at most"}},
	} {
		b := valid
		tt.change(&b)
		_, err := h.Run(t.Context(), b)
		if !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.is)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", tt.name, err, want)
			}
		}
	}
	h.Close()
	if _, err := h.Run(t.Context(), valid); !errors.Is(err, experts.ErrGone) {
		t.Errorf("after Close: %v, want experts.ErrGone", err)
	}
	if err := h.Load(t.Context(), 1, []int{2}); !errors.Is(err, experts.ErrGone) {
		t.Errorf("load after Close: %v, want experts.ErrGone", err)
	}
}

func TestCloseWaitsForBatches(t *testing.T) {
	h, m := newHost(t, moe, quant.F32, experts.Holdings{1: span(0, 5)})
	var wg sync.WaitGroup
	for i := range 6 {
		b := randomBatch(m.Digest(), 30, uint64(i))
		wg.Go(func() {
			for {
				_, err := h.Run(t.Context(), b)
				if errors.Is(err, experts.ErrGone) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	h.Close()
	wg.Wait()
	if n := h.dev.Allocated(); n != 0 {
		t.Errorf("%d bytes are still allocated", n)
	}
}
