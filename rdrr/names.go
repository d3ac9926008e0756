package rdrr

import (
	"fmt"
	"strconv"
	"strings"
)

// ExpertPart names one tensor of an expert, relative to the expert.
type ExpertPart string

// The tensors of an expert, in the order in which its shard holds them.
const (
	GateWeight ExpertPart = "gate_proj.weight" // [intermediate, hidden]
	UpWeight   ExpertPart = "up_proj.weight"   // [intermediate, hidden]
	DownWeight ExpertPart = "down_proj.weight" // [hidden, intermediate]
	GateBias   ExpertPart = "gate_proj.bias"   // [intermediate]
	UpBias     ExpertPart = "up_proj.bias"     // [intermediate]
	DownBias   ExpertPart = "down_proj.bias"   // [hidden]
)

var expertParts = []ExpertPart{GateWeight, UpWeight, DownWeight, GateBias, UpBias, DownBias}

// shape returns the shape that part has in a model of these expert dimensions.
func (p ExpertPart) shape(hidden, intermediate int) []int {
	switch p {
	case GateWeight, UpWeight:
		return []int{intermediate, hidden}
	case DownWeight:
		return []int{hidden, intermediate}
	case DownBias:
		return []int{hidden}
	default:
		return []int{intermediate}
	}
}

// ExpertTensor returns the canonical name of one tensor of a routed expert.
func ExpertTensor(layer, expert int, part ExpertPart) string {
	return fmt.Sprintf("model.layers.%d.mlp.experts.%d.%s", layer, expert, part)
}

// SplitExpertName takes the canonical name of a routed expert's tensor apart.
func SplitExpertName(name string) (layer, expert int, part ExpertPart, ok bool) {
	layer, rest, ok := splitLayer(name)
	if !ok {
		return 0, 0, "", false
	}
	rest, ok = strings.CutPrefix(rest, "mlp.experts.")
	if !ok {
		return 0, 0, "", false
	}
	number, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, 0, "", false
	}
	if expert, ok = parseIndex(number); !ok {
		return 0, 0, "", false
	}
	for _, p := range expertParts {
		if rest == string(p) {
			return layer, expert, p, true
		}
	}
	return 0, 0, "", false
}

// LayerOf returns the layer that a canonical name belongs to, -1 for what lies outside the layers.
func LayerOf(name string) int {
	if layer, _, ok := splitLayer(name); ok {
		return layer
	}
	return -1
}

func splitLayer(name string) (layer int, rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, "model.layers.")
	if !ok {
		return 0, "", false
	}
	number, rest, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, "", false
	}
	layer, ok = parseIndex(number)
	return layer, rest, ok
}

// parseIndex reads a layer or expert number as names spell it: decimal digits, no sign, no leading zero.
func parseIndex(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	return int(n), true
}

// RoleOf tells a tensor's role by its canonical name, for manifests that record none.
func RoleOf(name string) Role {
	_, rest, inLayer := splitLayer(name)
	switch {
	case name == "model.embed_tokens.weight":
		return RoleEmbedding
	case name == "lm_head.weight":
		return RoleHead
	case strings.Contains(name, "norm"):
		return RoleNorm
	case inLayer && (rest == "mlp.gate.weight" || rest == "mlp.shared_expert_gate.weight"):
		return RoleRouter
	case strings.HasSuffix(name, "bias") || strings.HasSuffix(name, ".sinks"):
		return RoleVector
	case inLayer && strings.HasPrefix(rest, "mlp.experts."):
		return RoleExpert
	}
	return RoleMatrix
}

// CanonicalName turns the name that a published checkpoint gives a tensor into the canonical one, where that is only a
// matter of spelling. keep is false for tensors that no language model here uses: vision towers, projectors, and buffers
// that are computed. Tensors that hold several canonical ones (stacked or packed experts) keep their last part.
func CanonicalName(published string) (name string, keep bool) {
	name = published
	for _, p := range modelPrefixes {
		if rest, ok := strings.CutPrefix(name, p.published); ok {
			name = p.canonical + rest
			break
		}
	}
	for _, prefix := range unusedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return "", false
		}
	}
	if strings.HasSuffix(name, ".rotary_emb.inv_freq") {
		return "", false
	}
	layer, rest, ok := splitLayer(name)
	if !ok {
		return name, true
	}
	for _, s := range layerSpellings {
		if tail, ok := strings.CutPrefix(rest, s.published); ok {
			rest = s.canonical + tail
			break
		}
	}
	if expert, ok := strings.CutPrefix(rest, "mlp.experts."); ok {
		for _, s := range expertSpellings {
			if number, ok := strings.CutSuffix(expert, s.published); ok {
				rest = "mlp.experts." + number + s.canonical
				break
			}
		}
	}
	return fmt.Sprintf("model.layers.%d.%s", layer, rest), true
}

type spelling struct{ published, canonical string }

// The tables behind [CanonicalName]. In each, the first match wins.
var (
	modelPrefixes = []spelling{
		{"language_model.model.", "model."},      // Gemma 3 with vision
		{"language_model.lm_head.", "lm_head."},  //
		{"model.language_model.", "model."},      // the same, saved by newer libraries
		{"embed_tokens.", "model.embed_tokens."}, // saved without the head
		{"layers.", "model.layers."},             //
		{"norm.", "model.norm."},                 //
		{"model.vision_tower.", "vision_tower."}, //
		{"model.visual.", "vision_tower."},       //
		{"visual.", "vision_tower."},             //
		{"vision_model.", "vision_tower."},       //
		{"model.multi_modal_projector.", "multi_modal_projector."},
	}
	unusedPrefixes = []string{"vision_tower.", "multi_modal_projector."}
	layerSpellings = []spelling{
		{"block_sparse_moe.", "mlp."},                 // Mixtral, Phi-MoE
		{"mlp.router.", "mlp.gate."},                  // GPT-OSS
		{"mlp.shared_experts.", "mlp.shared_expert."}, // DeepSeek, Kimi, GLM
	}
	expertSpellings = []spelling{
		{".w1.weight", ".gate_proj.weight"}, // Mixtral, Phi-MoE
		{".w3.weight", ".up_proj.weight"},
		{".w2.weight", ".down_proj.weight"},
	}
)
