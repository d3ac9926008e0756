package convert

import (
	"fmt"
	"strconv"
	"strings"

	"shoal/rdrr"
)

// GGUF names a tensor STEM.weight or STEM.bias, in layer L blk.L.STEM.weight. The tables pair stems with canonical ones; where
// several stems mean the same, the first is written.
var (
	ggufModelStems = []spelling{
		{"token_embd", "model.embed_tokens"},
		{"output_norm", "model.norm"},
		{"output", "lm_head"},
	}
	ggufLayerStems = []spelling{
		{"attn_norm", "input_layernorm"},
		{"attn_q", "self_attn.q_proj"},
		{"attn_k", "self_attn.k_proj"},
		{"attn_v", "self_attn.v_proj"},
		{"attn_output", "self_attn.o_proj"},
		{"attn_q_norm", "self_attn.q_norm"},
		{"attn_k_norm", "self_attn.k_norm"},
		{"attn_q_a", "self_attn.q_a_proj"},
		{"attn_q_a_norm", "self_attn.q_a_layernorm"},
		{"attn_q_b", "self_attn.q_b_proj"},
		{"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
		{"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
		{"attn_kv_b", "self_attn.kv_b_proj"},
		{"ffn_norm", "post_attention_layernorm"},
		{"post_attention_norm", "post_attention_layernorm"},
		{"ffn_gate", "mlp.gate_proj"},
		{"ffn_up", "mlp.up_proj"},
		{"ffn_down", "mlp.down_proj"},
		{"ffn_gate_inp", "mlp.gate"},
		{"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
		{"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
		{"ffn_up_shexp", "mlp.shared_expert.up_proj"},
		{"ffn_down_shexp", "mlp.shared_expert.down_proj"},
	}
	// sandwichStems come first in a family with norms on both sides of attention and FFN.
	sandwichStems = []spelling{
		{"post_attention_norm", "post_attention_layernorm"},
		{"ffn_norm", "pre_feedforward_layernorm"},
		{"post_ffw_norm", "post_feedforward_layernorm"},
	}
	// postNormStems come first in the families whose files call the norm before the FFN the one after attention.
	postNormStems = []spelling{{"post_attention_norm", "post_attention_layernorm"}}
	// ggufWhole are layer tensors whose whole name differs.
	ggufWhole = []spelling{
		{"attn_sinks.weight", "self_attn.sinks"},
		{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
		{"exp_probs_b", "mlp.gate.e_score_correction_bias"},
	}
	// expertStems are the tensors of routed experts: merged over the experts of a layer with _exps, apart with a number.
	expertStems = []spelling{{"ffn_gate", "gate_proj"}, {"ffn_up", "up_proj"}, {"ffn_down", "down_proj"}}
)

// spelling is a name in GGUF and the canonical one.
type spelling struct{ gguf, canonical string }

// canonical returns the canonical name of a tensor that holds one canonical tensor. Names that are not known keep their last
// part within the canonical layer, so that a layer beyond the model's can be told from an unknown tensor.
func (f ggufFamily) canonical(name string) string {
	layer, rest, ok := splitBlock(name)
	if !ok {
		stem, kind := cutKind(name)
		if s, ok := lookup(ggufModelStems, stem); ok {
			return s + kind
		}
		return name
	}
	prefix := fmt.Sprintf("model.layers.%d.", layer)
	if whole, ok := lookup(ggufWhole, rest); ok {
		return prefix + whole
	}
	stem, kind := cutKind(rest)
	for _, e := range expertStems {
		if number, ok := strings.CutPrefix(stem, e.gguf+"."); ok {
			return prefix + "mlp.experts." + number + "." + e.canonical + kind
		}
	}
	if s, ok := lookup(f.first, stem); ok {
		return prefix + s + kind
	}
	if s, ok := lookup(ggufLayerStems, stem); ok {
		return prefix + s + kind
	}
	return prefix + rest
}

// gguf returns GGUF's name of a canonical tensor, merged if it belongs to a routed expert.
func (f ggufFamily) gguf(name string) (string, error) {
	if layer, _, part, ok := rdrr.SplitExpertName(name); ok {
		stem, kind := cutKind(string(part))
		if s, ok := reverse(expertStems, stem); ok {
			return fmt.Sprintf("blk.%d.%s_exps%s", layer, s, kind), nil
		}
	}
	layer := rdrr.LayerOf(name)
	if layer < 0 {
		stem, kind := cutKind(name)
		if s, ok := reverse(ggufModelStems, stem); ok {
			return s + kind, nil
		}
		return "", fmt.Errorf("GGUF has no name for tensor %s", name)
	}
	rest := strings.TrimPrefix(name, fmt.Sprintf("model.layers.%d.", layer))
	prefix := fmt.Sprintf("blk.%d.", layer)
	if whole, ok := reverse(ggufWhole, rest); ok {
		return prefix + whole, nil
	}
	stem, kind := cutKind(rest)
	for _, table := range [][]spelling{f.first, ggufLayerStems} {
		if s, ok := reverse(table, stem); ok {
			return prefix + s + kind, nil
		}
	}
	return "", fmt.Errorf("GGUF has no name for tensor %s", name)
}

func lookup(table []spelling, name string) (string, bool) {
	for _, s := range table {
		if s.gguf == name {
			return s.canonical, true
		}
	}
	return "", false
}

func reverse(table []spelling, name string) (string, bool) {
	for _, s := range table {
		if s.canonical == name {
			return s.gguf, true
		}
	}
	return "", false
}

// cutKind splits .weight or .bias off.
func cutKind(name string) (stem, kind string) {
	for _, kind := range []string{".weight", ".bias"} {
		if stem, ok := strings.CutSuffix(name, kind); ok {
			return stem, kind
		}
	}
	return name, ""
}

func splitBlock(name string) (layer int, rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, "blk.")
	if !ok {
		return 0, "", false
	}
	number, rest, ok := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	return layer, rest, ok && err == nil && layer >= 0 && strconv.Itoa(layer) == number
}

// mergedExperts takes the name of a tensor of all experts of a layer apart: [experts, rows, cols], or [experts, rows] for
// biases. Gate and up may be merged too: then the first half of an expert's rows is the gate's.
func mergedExperts(name string) (layer int, parts []rdrr.ExpertPart, ok bool) {
	layer, rest, ok := splitBlock(name)
	if !ok {
		return 0, nil, false
	}
	stem, kind := cutKind(rest)
	stem, ok = strings.CutSuffix(stem, "_exps")
	if !ok || kind == "" {
		return 0, nil, false
	}
	if stem == "ffn_gate_up" {
		return layer, []rdrr.ExpertPart{rdrr.ExpertPart("gate_proj" + kind), rdrr.ExpertPart("up_proj" + kind)}, true
	}
	s, ok := lookup(expertStems, stem)
	return layer, []rdrr.ExpertPart{rdrr.ExpertPart(s + kind)}, ok
}

// latentHalf tells the halves of a key-value projection of latent attention, which newer files store apart.
func latentHalf(name string) (layer int, half string, ok bool) {
	layer, rest, ok := splitBlock(name)
	switch {
	case ok && rest == "attn_k_b.weight":
		return layer, "k", true
	case ok && rest == "attn_v_b.weight":
		return layer, "v", true
	}
	return 0, "", false
}

func hasSuffixAny(name string, suffixes ...string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}
