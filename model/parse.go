package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"shoal/gpu"
)

// families maps a config's model_type to the function that reads it. A function reads its family's fields and returns the
// spec; what it leaves unread is judged by [Parse].
var families = map[string]func(*fields) *Spec{
	"deepseek_v2": deepseekV2,
	"deepseek_v3": deepseekV3,
	"gemma3":      gemma3,
	"gemma3_text": gemma3Text,
	"glm4_moe":    glm4MoE,
	"gpt_oss":     gptOSS,
	"kimi_k2":     deepseekV3,
	"llama":       llama,
	"mistral":     mistral,
	"mixtral":     mixtral,
	"olmoe":       olmoe,
	"phimoe":      phiMoE,
	"qwen2_moe":   qwen2MoE,
	"qwen3":       qwen3,
	"qwen3_moe":   qwen3MoE,
}

// Families lists the architectures that [Parse] knows, by their model_type.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// Parse reads a hub-style config.json. Its error names every field that is missing, out of bounds, of an unsupported value,
// or unknown with a possible effect on the result.
func Parse(config json.RawMessage) (*Spec, error) {
	var errs []error
	var warnings []string
	f, err := parseFields("", config, &errs, &warnings)
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	family := f.string("model_type", "")
	read, ok := families[family]
	if !ok {
		return nil, fmt.Errorf("config.json: model_type is %q, an architecture that is not supported: want one of %s",
			family, strings.Join(Families(), ", "))
	}
	s := read(f)
	f.finish()
	if len(errs) == 0 {
		errs = s.check()
	}
	if err := join(errs); err != nil {
		return nil, fmt.Errorf("config.json of a %s model: %w", family, err)
	}
	s.Family = family
	s.Warnings = warnings
	return s, nil
}

// decoder reads the fields that every family has. tied is the family's default for a head that shares the embedding.
func (f *fields) decoder(tied bool) *Spec {
	s := &Spec{
		Hidden:         f.size("hidden_size", 0, maxHidden),
		Vocab:          f.size("vocab_size", 0, maxVocab),
		MaxPositions:   f.size("max_position_embeddings", 0, maxPositions),
		Layers:         make([]Layer, f.size("num_hidden_layers", 0, maxLayers)),
		EmbeddingScale: 1,
		TiedHead:       f.bool("tie_word_embeddings", tied),
	}
	f.tokens(s)
	return s
}

// tokens reads the ids that begin and end a text.
func (f *fields) tokens(s *Spec) {
	s.EOS = f.wholes("eos_token_id", maxVocab)
	s.BOS = -1
	if bos := f.wholes("bos_token_id", maxVocab); len(bos) > 0 {
		s.BOS = bos[0]
	}
}

// rms reads an RMSNorm's epsilon.
func (f *fields) rms(def float64) Norm {
	return Norm{Eps: float32(f.positive("rms_norm_eps", def))}
}

// gqa reads the fields of grouped-query attention; scale is 1/sqrt(head dim).
func (f *fields) gqa(s *Spec) GQA {
	a := GQA{Heads: f.size("num_attention_heads", 0, maxHeads)}
	a.KVHeads = f.size("num_key_value_heads", a.Heads, maxHeads)
	a.HeadDim = f.size("head_dim", max(s.Hidden/a.Heads, 1), maxHeadDim)
	a.Scale = inverseSqrt(float64(a.HeadDim))
	return a
}

// dense reads the fields of a gated FFN whose activation is SiLU.
func (f *fields) dense() *Dense {
	f.only("hidden_act", "silu", "swish")
	return &Dense{Intermediate: f.size("intermediate_size", 0, maxIntermediate), Activation: gpu.SiLU}
}

// windows gives each layer's attention window, 0 for none. layer_types decides if the config has it, else sliding does.
func (f *fields) windows(layers, window int, sliding func(layer int) bool) []int {
	out := make([]int, layers)
	types := f.strings("layer_types")
	if types != nil && len(types) != layers {
		f.fail("%slayer_types has %d entries for %d layers", f.path, len(types), layers)
		return out
	}
	for l := range out {
		slides := sliding(l)
		if types != nil {
			switch types[l] {
			case "full_attention":
				slides = false
			case "sliding_attention":
				slides = true
			default:
				f.fail("%slayer_types[%d] is %q, which is not supported: want full_attention or sliding_attention", f.path, l, types[l])
				return out
			}
		}
		if slides {
			out[l] = window
			if window == 0 {
				f.fail("%slayer %d slides, but %ssliding_window is not set", f.path, l, f.path)
				return out
			}
		}
	}
	return out
}
