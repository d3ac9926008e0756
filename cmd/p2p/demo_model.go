package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/cmd/internal/setup"
	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/synth"
)

// maxDemoLayers bounds the model that a demo makes.
const maxDemoLayers = 256

// linkConfig is a model whose speed the network decides: rows of Qwen3-30B-A3B's size, and next to nothing to compute.
func linkConfig(layers, vocab int) (json.RawMessage, error) {
	return json.Marshal(map[string]any{
		"architectures": []string{"Qwen3MoeForCausalLM"}, "model_type": "qwen3_moe", "torch_dtype": "bfloat16",
		"num_hidden_layers": layers, "hidden_size": 2048, "vocab_size": vocab, "max_position_embeddings": 2048,
		"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 16, "attention_bias": false, "use_sliding_window": false,
		"rope_theta": 10000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "intermediate_size": 32, "moe_intermediate_size": 32,
		"num_experts": 8, "num_experts_per_tok": 2, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": []int{},
		"tie_word_embeddings": true,
	})
}

// withFiles is a source with the tokenizer of another model.
type withFiles struct {
	convert.Source
	files map[string][]byte
}

func (s withFiles) Files() (map[string][]byte, error) { return s.files, nil }

// writeLinkModel writes an artifact of that many layers into a folder of its own, which remove takes away again. Its weights are
// random, its tokenizer is the demo model's.
func writeLinkModel(ctx context.Context, layers int) (dir string, remove func(), err error) {
	demo, err := setup.OpenModel("demo")
	if err != nil {
		return "", nil, err
	}
	defer demo.Close()
	files, err := tokenizerFiles(demo)
	if err != nil {
		return "", nil, err
	}
	trained, err := model.Parse(demo.Config())
	if err != nil {
		return "", nil, err
	}
	config, err := linkConfig(layers, trained.Vocab)
	if err != nil {
		return "", nil, err
	}
	spec, err := model.Parse(config)
	if err != nil {
		return "", nil, err
	}
	source, err := synth.New(config, spec.Tensors(), "q8_0", 1)
	if err != nil {
		return "", nil, err
	}
	parent, err := os.MkdirTemp("", "shoal-demo-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(parent) }
	dir = filepath.Join(parent, "model")
	_, err = convert.Run(ctx, convert.Options{
		Source: withFiles{source, files}, Output: dir, Quantize: string(source.Scheme()), ModelID: fmt.Sprintf("synthetic, %d layers", layers),
		Config: config, Tensors: spec.Tensors(), MoE: spec.MoE(),
	})
	if err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}

func tokenizerFiles(m *rdrr.Model) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		data, err := m.File(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}
