package model

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"shoal/gpu"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/convert/safetensors"
)

// artifact converts a checkpoint as it is stored, in a folder that the test removes.
func artifact(t testing.TB, dir string) *rdrr.Model {
	t.Helper()
	return artifactAs(t, dir, "none")
}

// artifactAs converts a checkpoint with a quantisation scheme.
func artifactAs(t testing.TB, dir, scheme string) *rdrr.Model {
	t.Helper()
	config, err := convert.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "artifact")
	_, err = convert.Run(context.Background(), convert.Options{
		Input: dir, Output: out, Quantize: scheme, Tensors: spec.Tensors(), MoE: spec.MoE(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := rdrr.OpenDir(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func loadTrunk(t testing.TB, dev gpu.Device, m *rdrr.Model, o Options) *Trunk {
	t.Helper()
	trunk, err := Load(dev, m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trunk.Close)
	return trunk
}

func reference(t testing.TB, dir string) *Reference {
	t.Helper()
	file, err := safetensors.Open(filepath.Join(dir, "reference.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ref, err := ReadReference(func(name string) []float32 {
		tensor := file.Tensor(name)
		if tensor == nil {
			return nil
		}
		if values, err := tensor.Floats(); err == nil {
			return values
		}
		ints, err := tensor.Ints()
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, len(ints))
		for i, v := range ints {
			out[i] = float32(v)
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// bank is a layer's experts on the trunk's device, the plainest LayerExperts.
type bank struct {
	gate, up, down             gpu.Matrix
	gateBias, upBias, downBias gpu.Buffer
	g, u, a                    gpu.Buffer // [rows, k, intermediate]
	m                          *MoE
}

// banks loads the experts of every MoE layer.
func banks(t testing.TB, trunk *Trunk, m *rdrr.Model) map[int]*bank {
	t.Helper()
	out := map[int]*bank{}
	for l := range trunk.spec.Layers {
		moe := trunk.spec.Layers[l].MoE
		if moe == nil {
			continue
		}
		b := &bank{m: moe}
		for e := range moe.Experts {
			x, err := m.Expert(l, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []struct {
				to   *gpu.Matrix
				bias *gpu.Buffer
				from *rdrr.Tensor
				add  *rdrr.Tensor
			}{{&b.gate, &b.gateBias, x.Gate, x.GateBias}, {&b.up, &b.upBias, x.Up, x.UpBias}, {&b.down, &b.downBias, x.Down, x.DownBias}} {
				must := func(err error) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if *p.to == nil {
					*p.to, err = trunk.dev.NewMatrix("experts", p.from.Type, moe.Experts, p.from.Rows(), p.from.Cols())
					must(err)
					t.Cleanup((*p.to).Free)
				}
				must((*p.to).Load(e, p.from.Data))
				if p.add == nil {
					continue
				}
				if *p.bias == nil {
					*p.bias, err = trunk.dev.NewBuffer("bias", gpu.F32, moe.Experts*p.from.Rows())
					must(err)
					t.Cleanup((*p.bias).Free)
				}
				values, err := p.add.Floats()
				must(err)
				must(trunk.dev.WriteFloats(*p.bias, e*len(values), values))
			}
		}
		for _, to := range []*gpu.Buffer{&b.g, &b.u, &b.a} {
			buffer, err := trunk.dev.NewBuffer("expert scratch", gpu.F32, trunk.rows*moe.TopK*moe.Intermediate)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(buffer.Free)
			*to = buffer
		}
		out[l] = b
	}
	return out
}

func (b *bank) Forward(p gpu.Pass, y, x, ids gpu.Buffer, n, k int) error {
	p.MatMulExperts(b.g, x, b.gate, b.gateBias, ids, n, k, false)
	p.MatMulExperts(b.u, x, b.up, b.upBias, ids, n, k, false)
	p.Activate(b.a, b.g, b.u, n*k*b.m.Intermediate, b.m.Activation)
	p.MatMulExperts(y, b.a, b.down, b.downBias, ids, n, k, true)
	return nil
}

func subject(trunk *Trunk, local map[int]*bank) Subject {
	return Subject{Trunk: trunk, Experts: func(_ context.Context, s *Sequence, layer int, _ []float32, _ Routes) error {
		return s.Experts(layer, local[layer])
	}}
}

// TestFixtures holds every family to its reference, on every device: logits, every hidden state, the experts chosen, the
// greedy continuation.
func TestFixtures(t *testing.T) {
	onEachDevice(t, func(t *testing.T, dev gpu.Device) {
		for _, dir := range fixtures(t) {
			t.Run(fixtureName(dir), func(t *testing.T) {
				m, ref := artifact(t, dir), reference(t, dir)
				trunk := loadTrunk(t, dev, m, Options{Rows: 64})
				sub := subject(trunk, banks(t, trunk, m))
				chunks := []int{0, 7}
				if len(ref.Logits) > 40*320 {
					chunks = []int{7} // the larger set, for its shapes
				}
				for _, chunk := range chunks {
					sub.Chunk = chunk
					report, err := Verify(context.Background(), sub, ref, 0)
					if err != nil {
						t.Fatal(err)
					}
					if !report.OK || report.GreedyTotal == 0 && len(ref.Greedy) > 0 {
						t.Errorf("in chunks of %d: %+v", chunk, *report)
					}
				}
			})
		}
	})
}

// forward runs tokens through a sequence and returns the logits of all rows.
func forward(seq *Sequence, tokens []int, local map[int]*bank) ([]float32, error) {
	if err := seq.Embed(tokens); err != nil {
		return nil, err
	}
	for l, layer := range seq.t.spec.Layers {
		if err := seq.Attend(l); err != nil {
			return nil, err
		}
		if layer.MoE != nil {
			if err := seq.Experts(l, local[l]); err != nil {
				return nil, err
			}
		} else if err := seq.FFN(l); err != nil {
			return nil, err
		}
	}
	return seq.Logits(true)
}

// TestChunksGiveTheSameBits feeds the same tokens in one piece, one by one, and in odd chunks.
func TestChunksGiveTheSameBits(t *testing.T) {
	onEachDevice(t, func(t *testing.T, dev gpu.Device) {
		for _, name := range []string{"qwen3-moe", "kimi-k2", "gemma3-4b", "gpt-oss", "phi-mini-moe"} {
			t.Run(name, func(t *testing.T) {
				dir := "../testdata/fixtures-small/" + name
				m, ref := artifact(t, dir), reference(t, dir)
				trunk := loadTrunk(t, dev, m, Options{Rows: 40})
				local := banks(t, trunk, m)
				whole := inChunks(t, trunk, local, ref.Inputs, 40)
				for _, chunk := range []int{1, 3, 11} {
					if !slices.Equal(inChunks(t, trunk, local, ref.Inputs, chunk), whole) {
						t.Errorf("chunks of %d: other bits than in one piece", chunk)
					}
				}
			})
		}
	})
}

// inChunks returns the logits of all tokens, fed so many at a time.
func inChunks(t *testing.T, trunk *Trunk, local map[int]*bank, tokens []int, chunk int) []float32 {
	t.Helper()
	seq, err := trunk.NewSequence(len(tokens))
	if err != nil {
		t.Fatal(err)
	}
	defer seq.Close()
	var out []float32
	for piece := range slices.Chunk(tokens, chunk) {
		logits, err := forward(seq, piece, local)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, logits...)
	}
	return out
}
