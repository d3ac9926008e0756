package convert

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// The padding rule, on the row lengths of published models.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		ask  quant.Type
		cols int
		want quant.Type
	}{
		{quant.Q4_K, 2048, quant.Q4_K},
		{quant.Q4_K, 768, quant.Q4_K},
		{quant.Q4_K, 2880, quant.Q4_K}, // GPT-OSS: padded to 3072, 7 % longer
		{quant.Q4_K, 1152, quant.Q4_K}, // Gemma 3 1B: padded to 1280, 11 %
		{quant.Q6_K, 960, quant.Q6_K},  // Phi-mini: padded to 1024, 7 %
		{quant.Q4_K, 128, quant.Q8_0},
		{quant.Q6_K, 640, quant.Q8_0}, // would be 20 % longer
		{quant.Q8_0, 64, quant.Q8_0},
		{quant.Q8_0, 300, quant.Q8_0}, // padded to 320
		{quant.Q8_0, 40, quant.F16},   // would be 60 % longer
		{quant.Q4_K, 16, quant.F16},
	} {
		if got := fit(c.ask, c.cols); got != c.want {
			t.Errorf("%s for rows of %d: %s, want %s", c.ask, c.cols, got, c.want)
		}
	}
}

func spec(name string, layer int, shape ...int) rdrr.TensorSpec {
	return rdrr.TensorSpec{Name: name, Shape: shape, Role: rdrr.RoleOf(name), Layer: layer, Expert: -1}
}

func TestPlan(t *testing.T) {
	const layers = 16
	tensors := []rdrr.TensorSpec{spec("model.embed_tokens.weight", -1, 1000, 256), spec("lm_head.weight", -1, 1000, 256)}
	at := func(layer int, rest string) string { return fmt.Sprintf("model.layers.%d.%s", layer, rest) }
	for l := range layers {
		tensors = append(tensors, spec(at(l, "self_attn.v_proj.weight"), l, 256, 256))
	}
	plan := NewPlan(Q4KM, tensors)
	sensitive := []int{}
	for l := range layers {
		if plan.Type(spec(at(l, "mlp.experts.3.down_proj.weight"), l, 256, 256), quant.BF16) == quant.Q6_K {
			sensitive = append(sensitive, l)
		}
	}
	if got, want := fmt.Sprint(sensitive), "[0 1 4 7 10 13 14 15]"; got != want {
		t.Errorf("down projections have Q6_K in layers %s of 16, want %s", got, want)
	}
	for _, c := range []struct {
		spec   rdrr.TensorSpec
		scheme Scheme
		stored quant.Type
		want   quant.Type
	}{
		{tensors[0], Q4KM, quant.BF16, quant.Q4_K},
		{tensors[1], Q4KM, quant.BF16, quant.Q6_K},
		{spec(at(4, "self_attn.v_proj.weight"), 4, 256, 256), Q4KM, quant.BF16, quant.Q6_K},
		{spec(at(5, "self_attn.v_proj.weight"), 5, 256, 256), Q4KM, quant.BF16, quant.Q4_K},
		{spec(at(4, "self_attn.kv_b_proj.weight"), 4, 256, 256), Q4KM, quant.F8E4M3, quant.Q6_K},
		{spec(at(4, "mlp.experts.0.gate_proj.weight"), 4, 256, 256), Q4KM, quant.MXFP4, quant.Q4_K},
		{spec(at(4, "mlp.gate.weight"), 4, 8, 256), Q4KM, quant.BF16, quant.BF16},
		{spec(at(4, "mlp.gate.weight"), 4, 8, 256), F16, quant.F32, quant.F32},
		{spec(at(4, "mlp.gate.weight"), 4, 8, 256), Q8_0, quant.Q8_0, quant.F32}, // a source may store it so: it is decoded
		{spec(at(4, "mlp.shared_expert_gate.weight"), 4, 1, 256), Q4KM, quant.BF16, quant.BF16},
		{spec(at(4, "input_layernorm.weight"), 4, 256), Q4KM, quant.F16, quant.F16},
		{spec(at(4, "self_attn.q_proj.bias"), 4, 256), Q4KM, quant.BF16, quant.BF16},
		{spec(at(4, "self_attn.q_proj.weight"), 4, 256, 256), None, quant.F8E4M3, quant.F8E4M3},
		{spec(at(4, "self_attn.q_proj.weight"), 4, 256, 256), F16, quant.BF16, quant.F16},
		{spec(at(4, "self_attn.q_proj.weight"), 4, 256, 256), Q8_0, quant.Q4_K, quant.Q8_0},
	} {
		p := NewPlan(c.scheme, tensors)
		if got := p.Type(c.spec, c.stored); got != c.want {
			t.Errorf("%s: %s stored as %s becomes %s, want %s", c.scheme, c.spec.Name, c.stored, got, c.want)
		}
	}
	if got := NewPlan(Q4KM, tensors[:1]).Type(tensors[0], quant.BF16); got != quant.Q6_K {
		t.Errorf("an embedding that is the head too becomes %s, want Q6_K", got)
	}
}

// The q4_k_m mix of Qwen3-30B-A3B: 48 layers of 128 experts.
func TestMixSize(t *testing.T) {
	const layers, hidden, inter, vocab = 48, 2048, 768, 151936
	specs := []rdrr.TensorSpec{spec("model.embed_tokens.weight", -1, vocab, hidden), spec("lm_head.weight", -1, vocab, hidden)}
	for l := range layers {
		at := func(rest string, shape ...int) {
			specs = append(specs, spec(fmt.Sprintf("model.layers.%d.%s.weight", l, rest), l, shape...))
		}
		at("self_attn.q_proj", 4096, hidden)
		at("self_attn.k_proj", 512, hidden)
		at("self_attn.v_proj", 512, hidden)
		at("self_attn.o_proj", hidden, 4096)
		at("mlp.gate", 128, hidden)
		for e := range 128 {
			at(fmt.Sprintf("mlp.experts.%d.gate_proj", e), inter, hidden)
			at(fmt.Sprintf("mlp.experts.%d.up_proj", e), inter, hidden)
			at(fmt.Sprintf("mlp.experts.%d.down_proj", e), hidden, inter)
		}
	}
	plan := NewPlan(Q4KM, specs)
	var weights, bytes float64
	for _, s := range specs {
		rows, cols := s.Shape[0], s.Shape[1]
		weights += float64(rows * cols)
		bytes += float64(rows * plan.Type(s, quant.BF16).RowBytes(cols))
	}
	if bits := 8 * bytes / weights; math.Abs(bits-4.85) > 0.05 {
		t.Errorf("%.3f bits a weight, want about 4.85", bits)
	}
}

// The bytes do not depend on how many cores there are.
func TestRecodeIsDeterministic(t *testing.T) {
	const rows, cols = 700, 300
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(math.Sin(float64(i * i)))
	}
	in := make([]byte, rows*quant.F32.RowBytes(cols))
	if err := quant.EncodeRows(quant.F32, in, values, cols); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, rows*quant.Q4_K.RowBytes(cols))
	if err := quant.EncodeRows(quant.Q4_K, want, values, cols); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 3, 8} {
		runtime.GOMAXPROCS(procs)
		got, err := recode(context.Background(), quant.Q4_K, quant.F32, in, rows, cols)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("with %d cores the bytes differ (%v)", procs, err)
		}
	}
}

func TestRecodeRefuses(t *testing.T) {
	row := func(v float32) []byte {
		b := make([]byte, 4*32)
		quant.Encode(quant.F32, b, append(make([]float32, 31), v))
		return b
	}
	for _, c := range []struct {
		to quant.Type
		v  float64
	}{{quant.F16, 1e5}, {quant.Q8_0, math.NaN()}, {quant.Q8_0, math.Inf(-1)}, {quant.BF16, math.Inf(1)}, {quant.Q8_0, 1e30}} {
		if _, err := recode(context.Background(), c.to, quant.F32, row(float32(c.v)), 1, 32); err == nil {
			t.Errorf("%v is stored as %s", c.v, c.to)
		}
	}
}
