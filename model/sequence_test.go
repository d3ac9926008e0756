package model

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/gpu"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/quant"
)

// running is a small model ready to run.
type running struct {
	model *rdrr.Model
	trunk *Trunk
	local map[int]*bank
	ref   *Reference
}

func start(t *testing.T, fixture string, o Options) running {
	t.Helper()
	dir := "../testdata/fixtures-small/" + fixture
	m := artifact(t, dir)
	trunk := loadTrunk(t, device(t), m, o)
	return running{model: m, trunk: trunk, local: banks(t, trunk, m), ref: reference(t, dir)}
}

func (r running) sequence(t *testing.T, positions int) *Sequence {
	t.Helper()
	s, err := r.trunk.NewSequence(positions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// remote runs experts as somebody else would: rows and routes come from the host, answers go back to it.
func (r running) remote(t *testing.T, layer int, h []float32, routes Routes) []float32 {
	t.Helper()
	dev, hidden, n := r.trunk.dev, r.trunk.spec.Hidden, len(routes.Experts)/routes.K
	buffer := func(k gpu.Kind, n int) gpu.Buffer {
		b, err := dev.NewBuffer("test", k, n)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Free)
		return b
	}
	x, ids, y := buffer(gpu.F32, len(h)), buffer(gpu.U32, len(routes.Experts)), buffer(gpu.F32, n*routes.K*hidden)
	if err := errors.Join(dev.WriteFloats(x, 0, h), dev.WriteIDs(ids, 0, routes.Experts)); err != nil {
		t.Fatal(err)
	}
	p := dev.Begin()
	if err := r.local[layer].Forward(p, y, x, ids, n, routes.K); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, n*routes.K*hidden)
	if err := p.Submit(gpu.Readback{From: y, Floats: out}); err != nil {
		t.Fatal(err)
	}
	return out
}

// weigh sums the experts' outputs per row with their weights, in route order.
func weigh(y []float32, r Routes, hidden int) []float32 {
	out := make([]float32, len(r.Experts)/r.K*hidden)
	for slot, w := range r.Weights {
		row := out[slot/r.K*hidden:][:hidden]
		for c := range row {
			row[c] += w * y[slot*hidden+c]
		}
	}
	return out
}

// TestExpertsElsewhere compares a layer's experts on the device with the same experts reached through Route: Combine gives the
// same bits, CombineSum the same but for the order of rounding.
func TestExpertsElsewhere(t *testing.T) {
	for _, fixture := range []string{"qwen3-moe", "qwen2-moe", "kimi-k2", "gpt-oss", "phi-mini-moe"} {
		t.Run(fixture, func(t *testing.T) {
			r := start(t, fixture, Options{Rows: 16})
			tokens := r.ref.Inputs[:13]
			want, err := forward(r.sequence(t, 13), tokens, r.local)
			if err != nil {
				t.Fatal(err)
			}
			for _, sum := range []bool{false, true} {
				s := r.sequence(t, 13)
				if err := s.Embed(tokens); err != nil {
					t.Fatal(err)
				}
				for l, layer := range r.trunk.spec.Layers {
					if err := s.Attend(l); err != nil {
						t.Fatal(err)
					}
					if layer.MoE == nil {
						if err := s.FFN(l); err != nil {
							t.Fatal(err)
						}
						continue
					}
					h, routes, err := s.Route(l)
					if err != nil {
						t.Fatal(err)
					}
					y := r.remote(t, l, h, routes)
					if sum {
						err = s.CombineSum(l, weigh(y, routes, r.trunk.spec.Hidden))
					} else {
						err = s.Combine(l, y)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				got, err := s.Logits(true)
				if err != nil {
					t.Fatal(err)
				}
				if !sum && !slices.Equal(got, want) {
					t.Error("Combine gives other bits than Experts")
				}
				var e squares
				e.add(got, want)
				if e.nmse() > 1e-11 {
					t.Errorf("sum %v: NMSE %g", sum, e.nmse())
				}
			}
		})
	}
}

func TestTruncateForgets(t *testing.T) {
	r := start(t, "kimi-k2", Options{Rows: 8})
	s := r.sequence(t, 12)
	want, err := forward(s, r.ref.Inputs[:8], r.local)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Truncate(3); err != nil || s.Position() != 3 {
		t.Fatalf("position %d: %v", s.Position(), err)
	}
	if _, err := forward(s, []int{5, 6, 7, 8}, r.local); err != nil { // other tokens over the same places
		t.Fatal(err)
	}
	if err := s.Truncate(3); err != nil {
		t.Fatal(err)
	}
	got, err := forward(s, r.ref.Inputs[3:8], r.local)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want[3*r.trunk.spec.Vocab:]) {
		t.Error("after truncation the same tokens give other logits")
	}
	if err := s.Truncate(9); err == nil {
		t.Error("truncation to beyond the end: no error")
	}
	if err := s.Truncate(-1); err == nil {
		t.Error("truncation to before the start: no error")
	}
}

// TestSequencesDoNotDisturbEachOther runs one sequence in the middle of another's step, and reads everything that can be read.
func TestSequencesDoNotDisturbEachOther(t *testing.T) {
	r := start(t, "qwen3-moe", Options{Rows: 16})
	tokens, spec := r.ref.Inputs[:10], r.trunk.spec
	want, err := forward(r.sequence(t, 10), tokens, r.local)
	if err != nil {
		t.Fatal(err)
	}
	s, other := r.sequence(t, 10), r.sequence(t, 16)
	if err := s.Embed(tokens); err != nil {
		t.Fatal(err)
	}
	for l := range spec.Layers {
		if err := s.Attend(l); err != nil {
			t.Fatal(err)
		}
		if _, err := forward(other, []int{7, 8, 9}, r.local); err != nil {
			t.Fatal(err)
		}
		if scores, err := s.Scores(l); err != nil || len(scores) != 10*spec.Layers[l].MoE.Experts {
			t.Fatalf("%d scores: %v", len(scores), err)
		}
		if _, err := s.Hidden(); err != nil {
			t.Fatal(err)
		}
		if err := s.Experts(l, r.local[l]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Normed(); err != nil {
		t.Fatal(err)
	}
	got, err := s.Logits(true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Error("a step gives other logits when another sequence runs in the middle of it")
	}
	if s.Position() != 10 || other.Position() != 3*len(spec.Layers) {
		t.Errorf("positions %d and %d", s.Position(), other.Position())
	}
}

func TestBestIsTheLargestLogit(t *testing.T) {
	r := start(t, "gemma3-1b", Options{Rows: 16})
	tokens := r.ref.Inputs[:9]
	logits, err := forward(r.sequence(t, 9), tokens, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, all := range []bool{true, false} {
		s := r.sequence(t, 9)
		if err := s.Embed(tokens); err != nil {
			t.Fatal(err)
		}
		for l := range r.trunk.spec.Layers {
			if err := errors.Join(s.Attend(l), s.FFN(l)); err != nil {
				t.Fatal(err)
			}
		}
		best, err := s.Best(all)
		if err != nil {
			t.Fatal(err)
		}
		first := 8
		if all {
			first = 0
		}
		for i, token := range best {
			if row := logits[(first+i)*r.trunk.spec.Vocab:][:r.trunk.spec.Vocab]; token != largest(row) {
				t.Errorf("all %v: row %d: token %d, want %d", all, first+i, token, largest(row))
			}
		}
		if len(best) != 9-first {
			t.Errorf("all %v: %d tokens", all, len(best))
		}
	}
}

func TestFinishedChunksGiveTheSamePrompt(t *testing.T) {
	r := start(t, "mistral", Options{Rows: 16})
	tokens, vocab := r.ref.Inputs[:11], r.trunk.spec.Vocab
	want, err := forward(r.sequence(t, 11), tokens, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := r.sequence(t, 11)
	if err := s.Embed(tokens[:10]); err != nil {
		t.Fatal(err)
	}
	for l := range r.trunk.spec.Layers {
		if err := errors.Join(s.Attend(l), s.FFN(l)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(); err != nil || s.Position() != 10 {
		t.Fatalf("position %d: %v", s.Position(), err)
	}
	got, err := forward(s, tokens[10:], nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want[10*vocab:]) {
		t.Error("a prompt in two chunks gives other logits than in one")
	}
}

func TestStepsOutOfOrder(t *testing.T) {
	r := start(t, "qwen3-moe", Options{Rows: 4})
	s := r.sequence(t, 8)
	refuse := func(what string, err error, part string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: error %v, want one that says %q", what, err, part)
		}
	}
	refuse("attend without embed", s.Attend(0), "no step")
	_, err := s.Logits(false)
	refuse("logits without embed", err, "no step")
	refuse("no tokens", s.Embed(nil), "no tokens")
	refuse("too many tokens", s.Embed(make([]int, 5)), "the most is 4")
	refuse("token beyond the vocabulary", s.Embed([]int{1, 320}), "token 320 at position 1")
	refuse("negative token", s.Embed([]int{-1}), "token -1")
	if err := s.Embed([]int{1, 2}); err != nil {
		t.Fatal(err)
	}
	refuse("experts before attention", s.Experts(0, r.local[0]), "Attend of layer 0 is next")
	refuse("a layer too early", s.Attend(1), "Attend of layer 0 is next")
	_, err = s.Logits(false)
	refuse("logits too early", err, "Attend of layer 0 is next")
	if err := s.Attend(0); err != nil {
		t.Fatal(err)
	}
	refuse("dense FFN of a MoE layer", s.FFN(0), "Experts or Route of layer 0 is next")
	refuse("combine without route", s.Combine(0, nil), "Experts or Route")
	if _, _, err := s.Route(0); err != nil {
		t.Fatal(err)
	}
	refuse("short answer", s.Combine(0, make([]float32, 7)), "7 values")
	refuse("short sum", s.CombineSum(0, make([]float32, 7)), "7 values")
	if err := s.Experts(0, r.local[0]); err != nil { // after a Route whose holders failed
		t.Fatal(err)
	}
	if s.Position() != 0 {
		t.Errorf("position %d in the middle of a step", s.Position())
	}
	if _, err := forward(s, []int{1, 2}, r.local); err != nil { // a new Embed drops the step
		t.Fatal(err)
	}
	refuse("finish twice", s.Finish(), "no step")
}

func TestContextIsBounded(t *testing.T) {
	r := start(t, "qwen3", Options{Rows: 8})
	s := r.sequence(t, 5)
	if _, err := forward(s, []int{1, 2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Embed([]int{1, 2, 3}); !errors.Is(err, ErrContext) {
		t.Errorf("error %v, want ErrContext", err)
	}
	if _, err := forward(s, []int{1, 2}, nil); err != nil {
		t.Errorf("the last two places: %v", err)
	}
	for _, n := range []int{0, -1, 4097} {
		if _, err := r.trunk.NewSequence(n); !errors.Is(err, ErrContext) {
			t.Errorf("a sequence of %d positions: error %v, want ErrContext", n, err)
		}
	}
}

func TestMemoryIsReckonedBefore(t *testing.T) {
	m := artifact(t, "../testdata/fixtures-small/llama3.2")
	dev := device(t)
	if _, err := Load(limited{dev, 1 << 10}, m, Options{}); !errors.Is(err, ErrMemory) {
		t.Errorf("weights: error %v, want ErrMemory", err)
	}
	trunk := loadTrunk(t, dev, m, Options{Rows: 8})
	trunk.dev = limited{dev, dev.Allocated() + trunk.spec.CacheBytes(100) + trunk.spec.scratchBytes(8)}
	before := dev.Allocated()
	if _, err := trunk.NewSequence(101); !errors.Is(err, ErrMemory) {
		t.Errorf("cache: error %v, want ErrMemory", err)
	}
	if dev.Allocated() != before {
		t.Errorf("%d bytes were taken by a sequence that was refused", dev.Allocated()-before)
	}
	s, err := trunk.NewSequence(100)
	if err != nil {
		t.Fatal(err)
	}
	if took := dev.Allocated() - before; took != trunk.spec.CacheBytes(100) {
		t.Errorf("the cache took %d bytes, reckoned were %d", took, trunk.spec.CacheBytes(100))
	}
	s.Close()
	if dev.Allocated() != before {
		t.Errorf("%d bytes are left after Close", dev.Allocated()-before)
	}
}

// TestWeightsTakeWhatIsReckoned compares the reckoned size of a trunk with what a device holds that copies everything; norms and
// biases, which are held as float32 whatever they are stored as, may differ.
func TestWeightsTakeWhatIsReckoned(t *testing.T) {
	for _, fixture := range []string{"qwen3-moe", "kimi-k2", "gemma3-1b"} {
		for _, scheme := range []string{"none", "q8_0"} {
			m := artifactAs(t, "../testdata/fixtures-small/"+fixture, scheme)
			dev := copying{Device: device(t), held: new(int64)}
			trunk := loadTrunk(t, dev, m, Options{Rows: 8})
			want := trunkBytes(trunk.spec, m)
			if off := float64(*dev.held-want) / float64(want); off > 0.02 || off < -0.05 {
				t.Errorf("%s %s: matrices take %d bytes, reckoned were %d", fixture, scheme, *dev.held, want)
			}
		}
	}
}

// copying counts the bytes of the matrices that it is asked for.
type copying struct {
	gpu.Device
	held *int64
}

func (d copying) NewMatrix(label string, t quant.Type, count, rows, cols int) (gpu.Matrix, error) {
	*d.held += int64(count) * int64(rows) * int64(t.RowBytes(cols))
	return d.Device.NewMatrix(label, t, count, rows, cols)
}

func TestCloseFreesEverything(t *testing.T) {
	m := artifact(t, "../testdata/fixtures-small/kimi-k2")
	dev := device(t)
	trunk, err := Load(dev, m, Options{Rows: 8})
	if err != nil {
		t.Fatal(err)
	}
	s, err := trunk.NewSequence(16)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Embed([]int{1, 2}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	trunk.Close()
	trunk.Close()
	if dev.Allocated() != 0 {
		t.Errorf("%d bytes are left", dev.Allocated())
	}
}

// TestLoadNamesWhatIsWrong opens artifacts whose configuration does not describe their tensors.
func TestLoadNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes change
		want    string
	}{
		{"a layer too many", change{"num_hidden_layers": 4}, "model.layers.3.input_layernorm.weight"},
		{"another head dimension", change{"head_dim": 32}, "model.layers.0.self_attn.q_proj.weight: shape [64 64], the architecture wants [128 64]"},
		{"biases", change{"attention_bias": true}, "model.layers.0.self_attn.q_proj.bias"},
		{"another architecture", change{"model_type": "qwen9"}, "qwen9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := "../testdata/fixtures-small/qwen3"
			config := readConfig(t, filepath.Join(dir, "config.json"))
			spec := parse(t, config)
			var fields map[string]any
			if err := json.Unmarshal(config, &fields); err != nil {
				t.Fatal(err)
			}
			for k, v := range c.changes {
				fields[k] = v
			}
			changed, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "artifact")
			if _, err := convert.Run(context.Background(), convert.Options{
				Input: dir, Output: out, Quantize: "none", Tensors: spec.Tensors(), Config: changed,
			}); err != nil {
				t.Fatal(err)
			}
			m, err := rdrr.OpenDir(out)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			dev := device(t)
			if _, err := Load(dev, m, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if dev.Allocated() != 0 {
				t.Errorf("%d bytes are left after a load that failed", dev.Allocated())
			}
		})
	}
	m := artifact(t, "../testdata/fixtures-small/qwen3")
	if _, err := Load(device(t), m, Options{Rows: -1}); err == nil {
		t.Error("-1 rows: no error")
	}
}
