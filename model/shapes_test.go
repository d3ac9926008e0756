package model

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/gpu"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/synth"
)

// shapes are changes to the small fixtures' configurations: sizes that are not powers of two, one of a kind, nothing in common.
var shapes = map[string][]map[string]any{
	"qwen3-moe": {
		{"hidden_size": 80, "num_attention_heads": 5, "num_key_value_heads": 1, "head_dim": 24, "num_experts": 7, "num_experts_per_tok": 1, "moe_intermediate_size": 40},
		{"num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 96, "num_experts": 40, "num_experts_per_tok": 8, "norm_topk_prob": false, "num_hidden_layers": 1, "tie_word_embeddings": true},
		{"num_hidden_layers": 4, "decoder_sparse_step": 2, "mlp_only_layers": []int{3}, "use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1},
	},
	"qwen3":        {{"hidden_size": 72, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 40, "tie_word_embeddings": true}},
	"qwen2-moe":    {{"num_experts": 5, "num_experts_per_tok": 5, "shared_expert_intermediate_size": 20, "norm_topk_prob": true}},
	"olmoe":        {{"num_experts": 9, "num_experts_per_tok": 2, "num_key_value_heads": 2}},
	"mixtral":      {{"num_local_experts": 3, "num_experts_per_tok": 3, "sliding_window": 6, "head_dim": 20}},
	"mistral":      {{"sliding_window": nil, "head_dim": 48, "num_key_value_heads": 4}},
	"llama3.2":     {{"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "tie_word_embeddings": false}},
	"gpt-oss":      {{"num_local_experts": 5, "num_experts_per_tok": 2, "experts_per_token": 2, "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 12, "num_hidden_layers": 2, "layer_types": []string{"full_attention", "sliding_attention"}, "sliding_window": 3}},
	"phi-mini-moe": {{"num_local_experts": 16, "intermediate_size": 30, "num_key_value_heads": 1, "sliding_window": 7}},
	"kimi-k2": {
		{"n_routed_experts": 24, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 5, "num_attention_heads": 3, "num_key_value_heads": 3, "kv_lora_rank": 40, "qk_nope_head_dim": 24, "qk_rope_head_dim": 8, "v_head_dim": 20},
		{"n_shared_experts": 3, "first_k_dense_replace": 0, "num_hidden_layers": 2, "q_lora_rank": nil},
	},
	"deepseek-v2": {{"n_routed_experts": 12, "n_group": 3, "topk_group": 1, "topk_method": "group_limited_greedy", "num_experts_per_tok": 2, "routed_scaling_factor": 16.0, "first_k_dense_replace": 2}},
	"glm4-moe":    {{"n_routed_experts": 6, "num_experts_per_tok": 2, "partial_rotary_factor": 0.25, "num_attention_heads": 3, "num_key_value_heads": 1, "norm_topk_prob": false}},
	"gemma3-1b":   {{"num_hidden_layers": 6, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 20, "sliding_window": 4, "query_pre_attn_scalar": 7}},
}

// TestOtherShapes runs models of changed shapes: token by token and in chunks they give the same bits, and a graphics adapter
// computes what the processor does.
func TestOtherShapes(t *testing.T) {
	tokens := make([]int, 23)
	for i := range tokens {
		tokens[i] = (i*i*7 + 3*i) % 300
	}
	for _, family := range slices.Sorted(maps.Keys(shapes)) {
		for i, change := range shapes[family] {
			t.Run(fmt.Sprint(family, " ", i), func(t *testing.T) {
				m := synthetic(t, family, change)
				var want []float32
				onEachDevice(t, func(t *testing.T, dev gpu.Device) {
					trunk := loadTrunk(t, dev, m, Options{})
					local := banks(t, trunk, m)
					got := inChunks(t, trunk, local, tokens, len(tokens))
					for _, chunk := range []int{1, 5} {
						if !slices.Equal(got, inChunks(t, trunk, local, tokens, chunk)) {
							t.Errorf("other logits in chunks of %d", chunk)
						}
					}
					if want == nil {
						want = got
						return
					}
					var s squares
					s.add(got, want)
					if s.nmse() > DefaultTolerance {
						t.Errorf("logits differ from the processor's by an NMSE of %.2g", s.nmse())
					}
				})
			})
		}
	}
}

// synthetic is an artifact of random weights with a small fixture's configuration, changed.
func synthetic(t *testing.T, family string, change map[string]any) *rdrr.Model {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../testdata/fixtures-small", family, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	delete(config, "quantization_config")
	maps.Copy(config, change)
	if data, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	spec, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	source, err := synth.New(data, spec.Tensors(), "f32", 1)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "artifact")
	_, err = convert.Run(context.Background(), convert.Options{
		Source: source, Output: out, Quantize: string(source.Scheme()), Config: data, Tensors: spec.Tensors(), MoE: spec.MoE(),
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
