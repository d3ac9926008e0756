package synth_test

import (
	"context"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"shoal/gpu/cpu"
	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/quant"
	"shoal/rdrr/synth"
)

// TestPublishedShapes holds the built-in configurations to the sizes that their authors state.
func TestPublishedShapes(t *testing.T) {
	want := map[string]float64{ // 1e9 parameters
		"gemma-3-1b": 1.0, "gemma-3-4b": 3.88, "gpt-oss-20b": 20.91, "kimi-k2": 1026.4, "llama-3.1-8b": 8.03, "llama-3.2-1b": 1.236,
		"llama-3.2-3b": 3.213, "mistral-7b": 7.248, "mixtral-8x7b": 46.70, "phi-mini-moe": 7.65, "qwen3-235b-a22b": 235.09, "qwen3-30b-a3b": 30.53,
	}
	for _, name := range synth.Names() {
		spec := parse(t, name, 0, 0)
		got := float64(spec.Figures().Parameters) / 1e9
		if math.Abs(got-want[name]) > 0.005*want[name] {
			t.Errorf("%s: %.3fe9 parameters, want %.3fe9", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is not built in", name)
	}
}

func parse(t testing.TB, name string, layers, experts int) *model.Spec {
	t.Helper()
	config, err := synth.Config(name, layers, experts)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := model.Parse(config)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return spec
}

func TestOtherNumbers(t *testing.T) {
	for _, c := range []struct {
		name            string
		layers, experts int
		topK            int
	}{
		{"qwen3-30b-a3b", 1, 0, 8}, {"qwen3-30b-a3b", 2, 4, 4}, {"gpt-oss-20b", 3, 2, 2}, {"kimi-k2", 2, 384, 8}, {"phi-mini-moe", 2, 4, 2},
		{"mixtral-8x7b", 40, 16, 2},
	} {
		spec := parse(t, c.name, c.layers, c.experts)
		moe := spec.MoE()
		if len(spec.Layers) != c.layers || moe.TopK != c.topK || c.experts > 0 && moe.Experts != c.experts {
			t.Errorf("%+v: %d layers, %d experts, top-%d", c, len(spec.Layers), moe.Experts, moe.TopK)
		}
	}
	if spec := parse(t, "gemma-3-1b", 30, 0); len(spec.Layers) != 30 || spec.Layers[29].GQA.Window == 0 {
		t.Error("gemma-3-1b with 30 layers")
	}
	for _, c := range []struct {
		name    string
		experts int
		want    string
	}{{"gpt-5", 0, "qwen3-30b-a3b"}, {"llama-3.2-1b", 8, "no routed experts"}} {
		if _, err := synth.Config(c.name, 0, c.experts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
	}
}

// tiny are configurations with rows of whole blocks, of padded blocks, and of every kind of tensor.
var tiny = []string{
	`{"model_type":"qwen3_moe","hidden_size":256,"vocab_size":300,"max_position_embeddings":64,"num_hidden_layers":2,"num_attention_heads":4,
	  "num_key_value_heads":2,"head_dim":64,"intermediate_size":512,"moe_intermediate_size":256,"num_experts":4,"num_experts_per_tok":2}`,
	`{"model_type":"gpt_oss","hidden_size":480,"vocab_size":300,"max_position_embeddings":64,"num_hidden_layers":2,"num_attention_heads":4,
	  "num_key_value_heads":2,"head_dim":64,"intermediate_size":480,"num_local_experts":4,"num_experts_per_tok":2,"sliding_window":8,
	  "quantization_config":{"quant_method":"mxfp4"}}`,
	`{"model_type":"kimi_k2","hidden_size":256,"vocab_size":300,"max_position_embeddings":64,"num_hidden_layers":2,"num_attention_heads":4,
	  "num_key_value_heads":4,"q_lora_rank":128,"kv_lora_rank":128,"qk_nope_head_dim":64,"qk_rope_head_dim":32,"v_head_dim":64,"intermediate_size":512,
	  "moe_intermediate_size":128,"n_routed_experts":4,"num_experts_per_tok":2,"n_shared_experts":1,"first_k_dense_replace":1,
	  "quantization_config":{"quant_method":"fp8"}}`,
	`{"model_type":"gemma3_text","hidden_size":256,"vocab_size":300,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":1,
	  "head_dim":64,"query_pre_attn_scalar":64,"intermediate_size":512,"sliding_window":16}`,
}

func write(t testing.TB, config, quantize string, seed uint64) *rdrr.Model {
	t.Helper()
	spec, err := model.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	source, err := synth.New([]byte(config), spec.Tensors(), quantize, seed)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "artifact")
	_, err = convert.Run(context.Background(), convert.Options{
		Source: source, Output: out, Quantize: string(source.Scheme()), ModelID: "synthetic", Tensors: spec.Tensors(), MoE: spec.MoE(),
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

// TestWeightsAreOfUnitScale measures what was written in every format: standard deviation 1/sqrt(columns), mean 0.
func TestWeightsAreOfUnitScale(t *testing.T) {
	for _, config := range tiny {
		for _, quantize := range []string{"q4_k_m", "q8_0", "f16", "none", "f32", "bf16", "q4_0", "q5_k", "mxfp4", "f8_e4m3"} {
			m := write(t, config, quantize, 1)
			seen := map[quant.Type]bool{}
			for _, entry := range m.Manifest().Tensors {
				x, err := m.Tensor(entry.Name)
				if err != nil {
					t.Fatal(err)
				}
				values, err := x.Floats()
				if err != nil {
					t.Fatal(err)
				}
				if len(x.Shape) < 2 {
					continue
				}
				seen[x.Type] = true
				mean, deviation := moments(values)
				unit := math.Sqrt(float64(x.Cols()))
				n := math.Sqrt(float64(len(values)))
				if math.Abs(deviation*unit-1) > 0.1+4/n || math.Abs(mean*unit) > 5*blockError(x)/n {
					t.Errorf("%s: %s %v %s: mean %.3g, deviation %.3g, in units of 1/sqrt(columns)", quantize, x.Name, x.Shape, x.Type, mean*unit, deviation*unit)
				}
			}
			if one, err := quant.Parse(strings.ToUpper(quantize)); err == nil && !seen[one] && m.Manifest().ModelType != "gpt_oss" {
				t.Errorf("%s: formats %v", quantize, seen)
			}
		}
	}
}

// blockError is by how much the mean may exceed that of independent weights: the weights of a block share their sign's bias.
func blockError(x *rdrr.Tensor) float64 { return 1 + 0.12*math.Sqrt(float64(x.Type.BlockSize())) }

func moments(values []float32) (mean, deviation float64) {
	for _, v := range values {
		mean += float64(v) / float64(len(values))
	}
	for _, v := range values {
		deviation += (float64(v) - mean) * (float64(v) - mean) / float64(len(values))
	}
	return mean, math.Sqrt(deviation)
}

// TestPaddingIsZero decodes padded rows past their end.
func TestPaddingIsZero(t *testing.T) {
	m := write(t, tiny[1], "q4_k_m", 1)
	x, err := m.Tensor("model.layers.0.mlp.experts.0.gate_proj.weight")
	if err != nil {
		t.Fatal(err)
	}
	if x.Type != quant.Q4_K || x.Cols() != 480 {
		t.Fatalf("%s %v, want padded Q4_K", x.Type, x.Shape)
	}
	row := make([]float32, 512)
	for r := range x.Rows() {
		quant.Decode(x.Type, row, x.Row(r))
		if slices.ContainsFunc(row[480:], func(v float32) bool { return v != 0 }) {
			t.Fatalf("row %d is padded with %v", r, row[480:])
		}
	}
}

// TestActivationsStayTame runs a token through each model.
func TestActivationsStayTame(t *testing.T) {
	for _, config := range tiny {
		m := write(t, config, "q4_k_m", 7)
		dev := cpu.New(2)
		trunk, err := model.Load(dev, m, model.Options{Rows: 4})
		if err != nil {
			t.Fatal(err)
		}
		seq, err := trunk.NewSequence(4)
		if err != nil {
			t.Fatal(err)
		}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(seq.Embed([]int{1, 2, 3, 4}))
		for l, layer := range trunk.Spec().Layers {
			must(seq.Attend(l))
			if layer.MoE == nil {
				must(seq.FFN(l))
				continue
			}
			h, routes, err := seq.Route(l)
			must(err)
			if _, deviation := moments(h); deviation < 0.5 || deviation > 2 {
				t.Errorf("layer %d: what the experts get has a deviation of %.3g", l, deviation)
			}
			must(seq.Combine(l, make([]float32, len(routes.Experts)*trunk.Spec().Hidden)))
		}
		logits, err := seq.Logits(true)
		must(err)
		if _, deviation := moments(logits); !(deviation > 0.2 && deviation < 5) {
			t.Errorf("%s: logits have a deviation of %.3g", trunk.Spec().Family, deviation)
		}
		seq.Close()
		trunk.Close()
		dev.Close()
	}
}

// TestSeed checks that the bytes follow from the seed alone, whatever the number of cores.
func TestSeed(t *testing.T) {
	first := write(t, tiny[0], "q4_k_m", 1).Digest()
	cores := runtime.GOMAXPROCS(1)
	again := write(t, tiny[0], "q4_k_m", 1).Digest()
	runtime.GOMAXPROCS(cores)
	if again != first {
		t.Error("the same seed gave another artifact")
	}
	if write(t, tiny[0], "q4_k_m", 2).Digest() == first {
		t.Error("another seed gave the same artifact")
	}
}

func BenchmarkMatrix(b *testing.B) {
	for _, quantize := range []string{"q4_k", "q6_k", "q8_0", "bf16", "mxfp4", "f8_e4m3"} {
		b.Run(quantize, func(b *testing.B) {
			tensors := []rdrr.TensorSpec{{Name: "model.layers.0.mlp.up_proj.weight", Shape: []int{8192, 2048}, Role: rdrr.RoleMatrix}}
			source, err := synth.New([]byte("{}"), tensors, quantize, 1)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				data, err := source.Tensors()[0].Load()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(data)))
			}
		})
	}
}
