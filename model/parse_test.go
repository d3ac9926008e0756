package model

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/gpu"
	"shoal/rdrr"
)

// fixtures lists the checkpoint folders: the project's own, and the larger ones where they lie beside it.
func fixtures(t *testing.T) []string {
	t.Helper()
	own, err := filepath.Glob("../testdata/fixtures-small/*/config.json")
	if err != nil || len(own) == 0 {
		t.Fatalf("no fixtures in ../testdata/fixtures-small: %v", err)
	}
	larger, _ := filepath.Glob("../../shared/fixtures/*/config.json")
	demo, _ := filepath.Glob("../../shared/demo/config.json")
	var dirs []string
	for _, path := range slices.Concat(own, larger, demo) {
		dirs = append(dirs, filepath.Dir(path))
	}
	return dirs
}

func fixtureName(dir string) string {
	return filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir)
}

func readConfig(t *testing.T, path string) json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t *testing.T, config json.RawMessage) *Spec {
	t.Helper()
	s, err := Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stored lists the shapes of a checkpoint's tensors by canonical name, from the header of its safetensors file.
func stored(t *testing.T, path string) map[string][]int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]struct {
		Shape []int `json:"shape"`
	}
	if err := json.Unmarshal(data[8:8+binary.LittleEndian.Uint64(data)], &header); err != nil {
		t.Fatal(err)
	}
	out := map[string][]int{}
	for name, entry := range header {
		if canonical, keep := rdrr.CanonicalName(name); keep && name != "__metadata__" && !strings.HasSuffix(name, "_scale_inv") {
			out[canonical] = entry.Shape
		}
	}
	return out
}

func TestSpecNamesTheTensorsOfACheckpoint(t *testing.T) {
	for _, dir := range fixtures(t) {
		t.Run(fixtureName(dir), func(t *testing.T) {
			s := parse(t, readConfig(t, filepath.Join(dir, "config.json")))
			if len(s.Warnings) > 0 {
				t.Errorf("warnings: %q", s.Warnings)
			}
			want := stored(t, filepath.Join(dir, "model.safetensors"))
			got := map[string][]int{}
			for _, spec := range s.Tensors() {
				if s.Family == "gpt_oss" && spec.Expert >= 0 {
					continue // stored packed, all experts of a layer together
				}
				got[spec.Name] = spec.Shape
			}
			maps.DeleteFunc(want, func(name string, _ []int) bool {
				return strings.Contains(name, "mlp.experts.gate_up") || strings.Contains(name, "mlp.experts.down")
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("tensors (-checkpoint +spec):\n%s", diff)
			}
		})
	}
}

// TestPublishedModels checks that the configs of published models are read, in the older and the newer form, and that they
// give the sizes that their authors state.
func TestPublishedModels(t *testing.T) {
	for _, c := range []struct {
		name              string
		total, active     float64 // 1e9
		cache             int64   // elements per position
		moeLayers, topK   int
		global, windowed  int // layers
		positions, shared int
	}{
		{name: "qwen3-30b-a3b", total: 30.53, active: 3.35, cache: 48 * 2 * 512, moeLayers: 48, topK: 8, global: 48, positions: 40960},
		{name: "qwen3-235b-a22b", total: 235.09, active: 22.19, cache: 94 * 2 * 512, moeLayers: 94, topK: 8, global: 94, positions: 40960},
		{name: "mixtral-8x7b", total: 46.70, active: 12.88, cache: 32 * 2 * 1024, moeLayers: 32, topK: 2, global: 32, positions: 32768},
		{name: "gpt-oss-20b", total: 20.91, active: 4.19, cache: 24 * 2 * 512, moeLayers: 24, topK: 4, global: 12, windowed: 12, positions: 131072},
		{name: "kimi-k2", total: 1026.4, active: 32.9, cache: 61 * 576, moeLayers: 60, topK: 8, global: 61, positions: 131072, shared: 2048},
		{name: "phi-mini-moe", total: 7.65, active: 2.36, cache: 32 * 2 * 1024, moeLayers: 32, topK: 2, windowed: 32, positions: 4096},
		{name: "llama-3.1-8b", total: 8.03, active: 8.03, cache: 32 * 2 * 1024, global: 32, positions: 131072},
		{name: "llama-3.2-1b", total: 1.236, active: 1.236, cache: 16 * 2 * 512, global: 16, positions: 131072},
		{name: "gemma-3-4b", total: 3.88, active: 3.88, cache: 34 * 2 * 1024, global: 5, windowed: 29, positions: 131072},
		{name: "gemma-3-1b", total: 1.0, active: 1.0, cache: 26 * 2 * 256, global: 4, windowed: 22, positions: 32768},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := parse(t, readConfig(t, "testdata/configs/"+c.name+".json"))
			f := s.Figures()
			near := func(what string, got int64, want float64) {
				if x := float64(got) / 1e9; x < want*0.995 || x > want*1.005 {
					t.Errorf("%s: %.3fe9, want %.3fe9", what, x, want)
				}
			}
			near("parameters", f.Parameters, c.total)
			near("active", f.Active, c.active)
			if f.CacheBytes != 4*c.cache {
				t.Errorf("cache: %d bytes a position, want %d", f.CacheBytes, 4*c.cache)
			}
			if f.Trunk+f.Experts != f.Parameters {
				t.Errorf("trunk %d + experts %d is not %d", f.Trunk, f.Experts, f.Parameters)
			}
			moe, global, windowed := 0, 0, 0
			for _, l := range s.Layers {
				if l.MoE != nil {
					moe++
					if l.MoE.TopK != c.topK {
						t.Errorf("top-k %d, want %d", l.MoE.TopK, c.topK)
					}
					if c.shared > 0 && l.MoE.Shared.Intermediate != c.shared {
						t.Errorf("shared expert of %d, want %d", l.MoE.Shared.Intermediate, c.shared)
					}
				}
				if l.GQA != nil && l.GQA.Window > 0 {
					windowed++
				} else {
					global++
				}
			}
			if moe != c.moeLayers || global != c.global || windowed != c.windowed {
				t.Errorf("%d MoE layers, %d global, %d windowed; want %d, %d, %d", moe, global, windowed, c.moeLayers, c.global, c.windowed)
			}
			if (s.MoE() != nil) != (c.moeLayers > 0) {
				t.Errorf("MoE() is %v", s.MoE())
			}
			if s.MaxPositions != c.positions {
				t.Errorf("%d positions, want %d", s.MaxPositions, c.positions)
			}
		})
	}
}

func TestRoutedExpertsForANode(t *testing.T) {
	s := parse(t, readConfig(t, "testdata/configs/kimi-k2.json"))
	got := s.MoE()
	if len(got.Layers) != 60 || got.Layers[0] != 1 || got.Layers[59] != 60 {
		t.Errorf("layers %v", got.Layers)
	}
	got.Layers = nil
	want := &rdrr.MoE{Experts: 384, TopK: 8, Hidden: 7168, Intermediate: 2048, Activation: "silu"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	gate := gpu.Gate{Kind: gpu.SigmoidTopK, Experts: 384, K: 8, Renormalise: true, Groups: 1, TopGroups: 1, Scale: 2.827}
	if diff := cmp.Diff(gate, s.Layers[1].MoE.Gate); diff != "" {
		t.Errorf("gate (-want +got):\n%s", diff)
	}
}

// edit changes fields of a published config; a nil value removes the field.
func edit(t *testing.T, name string, changes map[string]any) json.RawMessage {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(readConfig(t, "testdata/configs/"+name+".json"), &fields); err != nil {
		t.Fatal(err)
	}
	for k, v := range changes {
		if v == nil {
			delete(fields, k)
		} else {
			fields[k] = v
		}
	}
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type change = map[string]any

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, config string
		changes      change
		want         []string // parts of the message
	}{
		{"unknown architecture", "llama-3.1-8b", change{"model_type": "mamba"}, []string{"mamba", "not supported", "qwen3_moe", "kimi_k2"}},
		{"no architecture", "llama-3.1-8b", change{"model_type": nil}, []string{"model_type"}},
		{"missing size", "llama-3.1-8b", change{"hidden_size": nil}, []string{"hidden_size is missing"}},
		{"negative size", "llama-3.1-8b", change{"num_hidden_layers": -1}, []string{"num_hidden_layers is -1"}},
		{"fraction", "llama-3.1-8b", change{"hidden_size": 4096.5}, []string{"hidden_size is 4096.5"}},
		{"text for a number", "llama-3.1-8b", change{"vocab_size": "many"}, []string{`vocab_size is "many"`}},
		{"absurd hidden size", "llama-3.1-8b", change{"hidden_size": 1e12}, []string{"hidden_size", "the bound is 65536"}},
		{"absurd layers", "qwen3-30b-a3b", change{"num_hidden_layers": 1 << 20}, []string{"num_hidden_layers", "the bound is 1024"}},
		{"absurd experts", "qwen3-30b-a3b", change{"num_experts": 1 << 30}, []string{"num_experts", "the bound is 4096"}},
		{"absurd bank", "qwen3-30b-a3b", change{"num_experts": 4096, "num_hidden_layers": 1024}, []string{"experts over all layers", "the bound is"}},
		{"absurd vocabulary", "llama-3.1-8b", change{"vocab_size": 1 << 40}, []string{"vocab_size", "the bound is"}},
		{"heads", "llama-3.1-8b", change{"num_key_value_heads": 5}, []string{"32 attention heads", "5 key-value heads"}},
		{"top-k", "qwen3-30b-a3b", change{"num_experts": 4}, []string{"8 experts per token of 4"}},
		{"groups", "kimi-k2", change{"n_group": 7}, []string{"384 experts", "7 equal groups"}},
		{"best groups", "kimi-k2", change{"n_group": 8, "topk_group": 9}, []string{"topk_group is 9 of 8"}},
		{"sparse mixer", "phi-mini-moe", change{"num_experts_per_tok": 3}, []string{"sparse mixer", "not 3"}},
		{"activation", "llama-3.1-8b", change{"hidden_act": "relu2"}, []string{`hidden_act is "relu2"`, "silu"}},
		{"rope type", "llama-3.1-8b", change{"rope_scaling": change{"rope_type": "longrope", "factor": 2}}, []string{"rope_scaling.rope_type", "longrope", "yarn"}},
		{"rope field", "llama-3.1-8b", change{"rope_scaling": change{"rope_type": "linear", "factor": 2, "mrope_section": []int{1}}}, []string{"rope_scaling.mrope_section"}},
		{"rope factor", "llama-3.1-8b", change{"rope_scaling": change{"rope_type": "linear"}}, []string{"rope_scaling.factor is missing"}},
		{"two ropes", "llama-3.2-1b", change{"rope_scaling": change{"rope_type": "linear", "factor": 2}}, []string{"rope_parameters and rope_scaling"}},
		{"scoring", "kimi-k2", change{"scoring_func": "softmax"}, []string{`scoring_func is "softmax"`, "sigmoid"}},
		{"selection", "kimi-k2", change{"topk_method": "greedy"}, []string{`topk_method is "greedy"`}},
		{"layer type", "gpt-oss-20b", change{"layer_types": slices.Repeat([]string{"linear_attention"}, 24)}, []string{"layer_types[0]", "linear_attention"}},
		{"layer types", "gpt-oss-20b", change{"layer_types": []string{"full_attention"}}, []string{"1 entries for 24 layers"}},
		{"clamp", "gpt-oss-20b", change{"swiglu_limit": 10.0}, []string{"swiglu_limit is 10"}},
		{"bias in the FFN", "llama-3.1-8b", change{"mlp_bias": true}, []string{"mlp_bias is true"}},
		{"unknown field with effect", "llama-3.1-8b", change{"attn_temperature_tuning": 4}, []string{"attn_temperature_tuning is 4", "not known"}},
		{"unknown field of another family", "llama-3.1-8b", change{"num_experts": 8}, []string{"num_experts is 8", "not known"}},
		{"unknown field inside", "gemma-3-4b", change{"text_config": change{"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "altup_num_inputs": 4}}, []string{"text_config.altup_num_inputs"}},
		{"several at once", "llama-3.1-8b", change{"hidden_act": "relu", "vocab_size": 0, "odd_thing": 1}, []string{"hidden_act", "vocab_size", "odd_thing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(edit(t, c.config, c.changes))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
	for _, text := range []string{"", "null", "[]", "{", `{"model_type": 3}`} {
		if _, err := Parse(json.RawMessage(text)); err == nil {
			t.Errorf("config %q: no error", text)
		}
	}
}

func TestParseWarns(t *testing.T) {
	s := parse(t, edit(t, "llama-3.1-8b", change{
		"license_note": "see LICENSE", "some_dropout": 0.1, "new_switch": false, "transformers_version": "5.0", "_private": 3,
	}))
	want := []string{"_private", "license_note", "new_switch", "some_dropout"}
	if len(s.Warnings) != len(want) {
		t.Fatalf("warnings %q, want one for each of %q", s.Warnings, want)
	}
	for i, name := range want {
		if !strings.HasPrefix(s.Warnings[i], name+" ") {
			t.Errorf("warning %q, want it about %s", s.Warnings[i], name)
		}
	}
}

func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("testdata/configs/*.json")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		if s.CacheBytes(1) <= 0 {
			t.Errorf("a cache of %d bytes", s.CacheBytes(1))
		}
		for _, r := range s.Ropes {
			if len(r.Frequencies()) != r.Dim/2 {
				t.Errorf("%v: %d frequencies", r, len(r.Frequencies()))
			}
		}
	})
}
