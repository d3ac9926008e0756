package convert_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/rdrr/convert"
	"shoal/rdrr/convert/safetensors"
)

// edit rewrites a copy of a fixture's checkpoint; change returns what to keep of a tensor.
func edit(t *testing.T, name string, change func(x safetensors.Data) []safetensors.Data) string {
	t.Helper()
	dir := copyFixture(t, name)
	var out []safetensors.Data
	for _, x := range load(t, dir) {
		out = append(out, change(x)...)
	}
	save(t, filepath.Join(dir, "model.safetensors"), out)
	return dir
}

// on changes the one tensor of that name.
func on(name string, change func(x safetensors.Data) []safetensors.Data) func(safetensors.Data) []safetensors.Data {
	return func(x safetensors.Data) []safetensors.Data {
		if x.Name == name {
			return change(x)
		}
		return []safetensors.Data{x}
	}
}

func drop(safetensors.Data) []safetensors.Data { return nil }

func rename(to string) func(x safetensors.Data) []safetensors.Data {
	return func(x safetensors.Data) []safetensors.Data {
		x.Name = to
		return []safetensors.Data{x}
	}
}

func reshape(shape ...int) func(x safetensors.Data) []safetensors.Data {
	return func(x safetensors.Data) []safetensors.Data {
		x.Shape = shape
		return []safetensors.Data{x}
	}
}

func retype(d safetensors.DType, shape ...int) func(x safetensors.Data) []safetensors.Data {
	return func(x safetensors.Data) []safetensors.Data {
		x.DType, x.Shape = d, shape
		return []safetensors.Data{x}
	}
}

// Every checkpoint that is not what its configuration says is refused with an error that names the tensor, what it is and
// what it should be, and nothing is left of the artifact.
func TestRefuse(t *testing.T) {
	const q = "model.layers.0.self_attn.q_proj.weight"
	nan := func(x safetensors.Data) []safetensors.Data {
		x.Bytes[2*70], x.Bytes[2*70+1] = 0xc0, 0x7f
		return []safetensors.Data{x}
	}
	for _, c := range []struct {
		name   string
		dir    string
		scheme string
		want   []string
	}{
		{"missing tensor", edit(t, "qwen3-moe", on(q, drop)), "none", []string{q, "[64 64]"}},
		{"missing expert", edit(t, "qwen3-moe", on("model.layers.1.mlp.experts.3.up_proj.weight", drop)), "none", []string{"model.layers.1.mlp.experts.3.up_proj.weight"}},
		{"unexpected tensor", edit(t, "qwen3-moe", on(q, rename("model.layers.0.self_attn.qqq.weight"))), "none", []string{"no tensor", q}},
		{"one tensor more", edit(t, "llama3.2", on(q, func(x safetensors.Data) []safetensors.Data {
			return append(rename("extra.weight")(x), x)
		})), "none", []string{"extra.weight", "does not know"}},
		{"layer past the last", edit(t, "llama3.2", on(q, func(x safetensors.Data) []safetensors.Data {
			return append(rename("model.layers.3.self_attn.q_proj.weight")(x), x)
		})), "none", []string{"model.layers.3.self_attn.q_proj.weight", "does not know"}},
		{"wrong shape", edit(t, "qwen3-moe", on(q, reshape(32, 128))), "none", []string{q, "[32 128]", "[64 64]"}},
		{"two names for one tensor", edit(t, "llama3.2", on(q, func(x safetensors.Data) []safetensors.Data {
			return append(rename("language_model."+q)(x), x)
		})), "none", []string{"are both " + q}},
		{"weights that are integers", edit(t, "qwen3-moe", on(q, retype(safetensors.I16, 64, 64))), "none", []string{q, "dtype I16"}},
		{"FP8 without scales", edit(t, "qwen3-moe", on(q, retype(safetensors.F8E4M3, 64, 128))), "none", []string{q, "has no " + q + "_scale_inv"}},
		{"scales without FP8", edit(t, "kimi-k2", on("model.layers.0.mlp.up_proj.weight", drop)), "none", []string{"up_proj.weight_scale_inv", "without weights"}},
		{"scales of another shape", edit(t, "kimi-k2", on("model.layers.0.mlp.up_proj.weight_scale_inv", reshape(1))), "none", []string{"up_proj.weight", "matrices"}},
		{"MXFP4 of another shape", edit(t, "gpt-oss", on("model.layers.2.mlp.experts.down_proj_blocks", reshape(8, 64, 1, 32))), "none", []string{"down_proj_blocks", "[8 64 1 32]", "[8 64 2 16]"}},
		{"MXFP4 without scales", edit(t, "gpt-oss", on("model.layers.2.mlp.experts.down_proj_scales", drop)), "none", []string{"down_proj_blocks", "no scales"}},
		{"biases of another shape", edit(t, "gpt-oss", on("model.layers.0.mlp.experts.down_proj_bias", reshape(64, 8))), "none", []string{"down_proj_bias", "[64 8]", "[8 64]"}},
		{"weight that is no number", edit(t, "qwen3-moe", on(q, nan)), "q4_k_m", []string{q, "row 1", "weight 6 is NaN"}},
		{"unknown scheme", fixture("qwen3-moe"), "q3_x", []string{`"q3_x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, c.dir, c.scheme)
			refused(t, o, c.want...)
		})
	}
}

// refused runs a conversion that must fail with those words and leave nothing.
func refused(t *testing.T, o convert.Options, words ...string) {
	t.Helper()
	_, err := convert.Run(context.Background(), o)
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got %v, want an error with %q", err, word)
		}
	}
	nothingLeft(t, o)
}

func nothingLeft(t *testing.T, o convert.Options) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(o.Output))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind: %s", e.Name())
	}
}

func TestRefuseFolder(t *testing.T) {
	good := options(t, fixture("qwen3-moe"), "none")
	with := func(dir string) convert.Options {
		o := good
		o.Input, o.Output = dir, filepath.Join(t.TempDir(), "artifact")
		return o
	}
	refused(t, with(filepath.Join(t.TempDir(), "none")), "config.json", "no such file")

	noWeights := copyFixture(t, "qwen3-moe")
	os.Remove(filepath.Join(noWeights, "model.safetensors"))
	refused(t, with(noWeights), "model.safetensors")

	truncated := copyFixture(t, "qwen3-moe")
	if err := os.Truncate(filepath.Join(truncated, "model.safetensors"), 100_000); err != nil {
		t.Fatal(err)
	}
	refused(t, with(truncated), "model.safetensors", "truncated")

	gptq := copyFixture(t, "qwen3-moe")
	setConfig(t, gptq, "quantization_config", map[string]any{"quant_method": "gptq"})
	refused(t, with(gptq), "quant_method", `"gptq"`)

	blocks := copyFixture(t, "kimi-k2")
	setConfig(t, blocks, "quantization_config", map[string]any{"quant_method": "fp8", "weight_block_size": []int{64, 64}})
	refused(t, with(blocks), "weight_block_size", "[64 64]")

	broken := copyFixture(t, "qwen3-moe")
	put(t, broken, "config.json", []byte("{"))
	refused(t, with(broken), "config.json", "not JSON")
}

func setConfig(t *testing.T, dir, field string, value any) {
	t.Helper()
	var config map[string]any
	raw, err := convert.ReadConfig(dir)
	if err != nil || json.Unmarshal(raw, &config) != nil {
		t.Fatal("no configuration", err)
	}
	config[field] = value
	if raw, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "config.json", raw)
}

func TestOutput(t *testing.T) {
	o := options(t, copyFixture(t, "qwen3-moe"), "none")
	run(t, o)
	if _, err := convert.Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over an artifact: %v", err)
	}
	o.Replace, o.Quantize = true, "q8_0"
	if _, m := run(t, o); m.Manifest().Quantization != "Q8_0" {
		t.Errorf("the artifact was not replaced: %s", m.Manifest().Quantization)
	}
	for _, output := range []string{o.Input, filepath.Dir(o.Input)} {
		around := o
		around.Output = output
		if _, err := convert.Run(context.Background(), around); err == nil || !strings.Contains(err.Error(), "the input") {
			t.Errorf("output %s: %v", output, err)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Input, "model.safetensors")); err != nil {
		t.Error("the checkpoint is gone:", err)
	}
}

func TestCancel(t *testing.T) {
	o := options(t, fixture("qwen3-moe"), "q4_k_m")
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p convert.Progress) {
		if p.Done > p.Total/2 {
			cancel()
		}
	}
	if _, err := convert.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, o)
}

// A source that gives other bytes than it promised is not believed.
func TestSourceChecked(t *testing.T) {
	o := options(t, fixture("llama3.2"), "none")
	hub, err := convert.OpenHub(o.Input, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer hub.Close()
	o.Source = shortSource{hub}
	refused(t, o, "model.norm.weight", "source gives 126 bytes", "takes 128")
}

type shortSource struct{ convert.Source }

func (s shortSource) Tensors() []convert.Stored {
	out := s.Source.Tensors()
	for i, x := range out {
		if x.Name == "model.norm.weight" {
			out[i].Load = func() ([]byte, error) {
				b, err := x.Load()
				return b[:len(b)-2], err
			}
		}
	}
	return out
}
