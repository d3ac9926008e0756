package model

import (
	"errors"
	"fmt"
	"math"

	"shoal/gpu"
)

// GGUF is an architecture in the terms of the GGUF format, as llama.cpp reads it.
type GGUF struct {
	Architecture string         // general.architecture
	Keys         map[string]any // without the architecture's name in front; uint32, float32, bool, string or []bool
	// RopeFactors [rotated elements / 2] divide the angles of a position encoding that keys cannot describe; nil if they can.
	RopeFactors []float32
	// Warnings are keys that llama.cpp may not know: it would run the model without what they say.
	Warnings []string
}

// ggufFamilies are the families that GGUF files exist for, by model_type.
var ggufFamilies = map[string]struct {
	architecture string
	describe     func(s *Spec, g *GGUF)
}{
	"deepseek_v2": {"deepseek2", (*Spec).ggufLatent},
	"deepseek_v3": {"deepseek2", (*Spec).ggufLatent},
	"kimi_k2":     {"deepseek2", (*Spec).ggufLatent},
	"gemma3":      {"gemma3", (*Spec).ggufGemma},
	"gemma3_text": {"gemma3", (*Spec).ggufGemma},
	"glm4_moe":    {"glm4moe", (*Spec).ggufGLM},
	"gpt_oss":     {"gpt-oss", (*Spec).ggufOSS},
	"llama":       {"llama", (*Spec).ggufLlama},
	"mistral":     {"llama", (*Spec).ggufLlama},
	"mixtral":     {"llama", (*Spec).ggufLlama},
	"olmoe":       {"olmoe", (*Spec).ggufPlain},
	"phimoe":      {"phimoe", (*Spec).ggufPhi},
	"qwen2_moe":   {"qwen2moe", (*Spec).ggufQwen},
	"qwen3":       {"qwen3", (*Spec).ggufQwen},
	"qwen3_moe":   {"qwen3moe", (*Spec).ggufQwen},
}

// GGUF describes the architecture for a GGUF file. What the format cannot say is an error that names it.
func (s *Spec) GGUF() (*GGUF, error) {
	family, ok := ggufFamilies[s.Family]
	if !ok {
		return nil, fmt.Errorf("GGUF has no architecture for a %s model", s.Family)
	}
	g := &GGUF{Architecture: family.architecture, Keys: map[string]any{}}
	first := s.Layers[0]
	g.int("vocab_size", s.Vocab)
	g.int("context_length", s.MaxPositions)
	g.int("embedding_length", s.Hidden)
	g.int("block_count", len(s.Layers))
	g.float("attention.layer_norm_rms_epsilon", float64(first.Norm.Eps))
	if a := first.GQA; a != nil {
		g.int("attention.head_count", a.Heads)
		g.int("attention.head_count_kv", a.KVHeads)
		g.int("attention.key_length", a.HeadDim)
		g.int("attention.value_length", a.HeadDim)
	}
	if err := g.rope(s.Ropes[0], first.MLA != nil); err != nil {
		return nil, err
	}
	if err := s.ggufFFN(g); err != nil {
		return nil, err
	}
	family.describe(s, g)
	return g, nil
}

func (g *GGUF) int(key string, n int)       { g.Keys[key] = uint32(n) }
func (g *GGUF) float(key string, v float64) { g.Keys[key] = float32(v) }
func (g *GGUF) warn(format string, a ...any) {
	g.Warnings = append(g.Warnings, fmt.Sprintf(format, a...))
}
func (g *GGUF) extra(key string, v any) {
	g.Keys[key] = v
	g.warn("llama.cpp does not know the key %s.%s (%v) and will run the model without it", g.Architecture, key, v)
}

// rope describes the position encoding. latent is that of latent attention, whose rotation llama.cpp never scales.
func (g *GGUF) rope(r Rope, latent bool) error {
	g.int("rope.dimension_count", r.Dim)
	g.float("rope.freq_base", r.Base)
	if latent && !r.Interleaved {
		return errors.New("GGUF cannot say that latent attention rotates halves of a head instead of pairs")
	}
	switch r.Kind {
	case "linear":
		g.Keys["rope.scaling.type"] = "linear"
		g.float("rope.scaling.factor", r.Factor)
	case "llama3":
		plain := r
		plain.Kind = "default"
		scaled := r.Frequencies()
		for i, w := range plain.Frequencies() {
			g.RopeFactors = append(g.RopeFactors, float32(w/scaled[i]))
		}
	case "yarn":
		return g.yarn(r, latent)
	}
	return nil
}

func (g *GGUF) yarn(r Rope, latent bool) error {
	g.Keys["rope.scaling.type"] = "yarn"
	g.float("rope.scaling.factor", r.Factor)
	g.int("rope.scaling.original_context_length", r.Original)
	g.float("rope.scaling.yarn_beta_fast", r.BetaFast)
	g.float("rope.scaling.yarn_beta_slow", r.BetaSlow)
	if oss := g.Architecture == "gpt-oss"; r.Truncate == oss {
		g.extra("rope.scaling.yarn_truncate", r.Truncate)
	}
	if latent {
		if r.Amplitude != 1 {
			return fmt.Errorf("GGUF cannot say that latent attention scales its rotation by %v (rope_scaling mscale, mscale_all_dim or attention_factor)", r.Amplitude)
		}
		g.float("rope.scaling.yarn_log_multiplier", 0.1*r.MScaleAllDim)
		return nil
	}
	if usual := yarnScale(r.Factor, 1); math.Abs(r.Amplitude-usual) > 1e-6*usual {
		g.float("rope.scaling.attn_factor", r.Amplitude/usual)
	}
	return nil
}

// ggufFFN describes the FFNs, which must be alike in all layers of a kind.
func (s *Spec) ggufFFN(g *GGUF) error {
	dense := 0 // layers before the first with routed experts
	for _, layer := range s.Layers {
		if layer.MoE != nil {
			break
		}
		dense++
	}
	for l, layer := range s.Layers {
		if layer.Dense != nil {
			g.int("feed_forward_length", layer.Dense.Intermediate)
		}
		if l > dense && layer.MoE == nil && g.Architecture == "deepseek2" {
			return fmt.Errorf("GGUF cannot say that layer %d, after layers with routed experts, has none", l)
		}
	}
	m := s.experts()
	if m == nil {
		return nil
	}
	g.int("expert_count", m.Experts)
	g.int("expert_used_count", m.TopK)
	g.int("expert_feed_forward_length", m.Intermediate)
	return nil
}

// experts is the first layer's bank of routed experts, nil for a dense model.
func (s *Spec) experts() *MoE {
	for _, layer := range s.Layers {
		if layer.MoE != nil {
			return layer.MoE
		}
	}
	return nil
}

// ggufPlain is a family whose routed experts are all of its FFNs.
func (s *Spec) ggufPlain(g *GGUF) {
	m := s.experts()
	g.int("feed_forward_length", m.Intermediate)
	if m.Gate.Renormalise {
		g.extra("expert_weights_norm", true)
	}
}

func (s *Spec) ggufLlama(g *GGUF) {
	if m := s.experts(); m != nil {
		g.int("feed_forward_length", m.Intermediate)
		delete(g.Keys, "expert_feed_forward_length")
	}
	s.ggufWindow(g)
}

// ggufWindow describes a window that llama.cpp does not give to this architecture.
func (s *Spec) ggufWindow(g *GGUF) {
	window := 0
	for _, layer := range s.Layers {
		window = max(window, layer.GQA.Window)
	}
	if window > 0 {
		g.int("attention.sliding_window", window)
		g.warn("llama.cpp does not limit the attention of the architecture %s to a window of %d", g.Architecture, window)
	}
}

func (s *Spec) ggufPhi(g *GGUF) {
	g.int("feed_forward_length", s.experts().Intermediate)
	if w := s.Layers[0].GQA.Window; w > 0 {
		g.int("attention.sliding_window", w)
	}
	if j := s.experts().Gate.Jitter; j != 0.01 {
		g.extra("router_jitter", j)
	}
	g.warn("llama.cpp runs this architecture with a softmax gate instead of its sparse mixer")
}

func (s *Spec) ggufQwen(g *GGUF) {
	windows := map[int]bool{}
	for l, layer := range s.Layers {
		windows[layer.GQA.Window] = true
		if s.experts() != nil && layer.MoE == nil {
			g.warn("llama.cpp wants routed experts in every layer of the architecture %s, and layer %d has none", g.Architecture, l)
		}
	}
	if len(windows) > 1 {
		g.extra("attention.sliding_window_pattern", s.slides())
	}
	s.ggufWindow(g)
	m := s.experts()
	if m == nil {
		return
	}
	if _, ok := g.Keys["feed_forward_length"]; !ok {
		g.int("feed_forward_length", m.Intermediate)
	}
	if m.Shared != nil {
		g.int("expert_shared_feed_forward_length", m.Shared.Intermediate)
	}
	if usual := s.Family == "qwen3_moe"; m.Gate.Renormalise != usual {
		g.extra("expert_weights_norm", m.Gate.Renormalise)
	}
}

// slides tells which layers have a window.
func (s *Spec) slides() []bool {
	out := make([]bool, len(s.Layers))
	for l, layer := range s.Layers {
		out[l] = layer.GQA.Window > 0
	}
	return out
}

// ggufWindows describes a pattern of layers with and without a window. llama.cpp has the usual one, in which every period-th
// layer has none, built in.
func (s *Spec) ggufWindows(g *GGUF, period int) {
	usual := true
	for l, slides := range s.slides() {
		if w := s.Layers[l].GQA.Window; w > 0 {
			g.int("attention.sliding_window", w)
		}
		usual = usual && slides == ((l+1)%period != 0)
	}
	if !usual {
		g.extra("attention.sliding_window_pattern", s.slides())
	}
}

func (s *Spec) ggufOSS(g *GGUF) {
	g.int("feed_forward_length", s.experts().Intermediate)
	s.ggufWindows(g, 2)
}

func (s *Spec) ggufGemma(g *GGUF) {
	s.ggufWindows(g, 6)
	a := s.Layers[0].GQA
	if local := s.Ropes[gemmaLocal]; local.Base != 10000 {
		g.float("rope.freq_base_swa", local.Base)
	}
	if usual := inverseSqrt(float64(a.HeadDim)); a.Scale != usual {
		g.float("attention.scale", float64(a.Scale))
	}
	if a.SoftCap > 0 {
		g.extra("attn_logit_softcapping", a.SoftCap)
	}
	if s.LogitCap > 0 {
		g.float("final_logit_softcapping", float64(s.LogitCap))
	}
}

func (s *Spec) ggufLatent(g *GGUF) {
	a := s.Layers[0].MLA
	g.int("attention.head_count", a.Heads)
	g.int("attention.head_count_kv", a.Heads)
	g.int("attention.key_length", a.NopeDim+a.RopeDim)
	g.int("attention.value_length", a.ValueDim)
	g.int("attention.kv_lora_rank", a.KVRank)
	if a.QRank > 0 {
		g.int("attention.q_lora_rank", a.QRank)
	}
	s.ggufGrouped(g)
}

func (s *Spec) ggufGLM(g *GGUF) { s.ggufGrouped(g) }

// Values of expert_gating_func.
const (
	ggufSoftmax = 1
	ggufSigmoid = 2
)

// ggufGrouped describes the experts of the DeepSeek line and of GLM-4.
func (s *Spec) ggufGrouped(g *GGUF) {
	dense := len(s.Layers)
	for l, layer := range s.Layers {
		if layer.MoE != nil {
			dense = l
			break
		}
	}
	g.int("leading_dense_block_count", dense)
	m := s.experts()
	if m == nil {
		return
	}
	if _, ok := g.Keys["feed_forward_length"]; !ok {
		g.int("feed_forward_length", m.Intermediate)
	}
	if m.Shared != nil {
		g.int("expert_shared_count", m.Shared.Intermediate/m.Intermediate)
	}
	if m.Gate.Groups > 1 {
		g.int("expert_group_count", m.Gate.Groups)
		g.int("expert_group_used_count", m.Gate.TopGroups)
	}
	scale := float64(m.Gate.Scale)
	if scale == 0 {
		scale = 1
	}
	g.float("expert_weights_scale", scale)
	g.Keys["expert_weights_norm"] = m.Gate.Renormalise
	gating := ggufSoftmax
	if m.Gate.Kind == gpu.SigmoidTopK {
		gating = ggufSigmoid
	}
	g.int("expert_gating_func", gating)
}
