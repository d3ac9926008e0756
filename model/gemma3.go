package model

import (
	"math"

	"shoal/gpu"
)

// gemma3Text is Gemma 3: norms of (1 + w) before and after each block, queries and keys normalised per head, GELU, scaled
// embeddings, and five layers with a sliding window for each one without. The two kinds of layers have position encodings of
// their own. Fields that the published configs leave out have the defaults of Gemma 3 4B.
func gemma3Text(f *fields) *Spec {
	s := &Spec{
		Hidden:       f.size("hidden_size", 2304, maxHidden),
		Vocab:        f.size("vocab_size", 262208, maxVocab),
		MaxPositions: f.size("max_position_embeddings", 131072, maxPositions),
		Layers:       make([]Layer, f.size("num_hidden_layers", 26, maxLayers)),
		TiedHead:     f.bool("tie_word_embeddings", true),
		LogitCap:     float32(f.float("final_logit_softcapping", 0)),
	}
	f.tokens(s)
	s.EmbeddingScale = float32(math.Sqrt(float64(s.Hidden)))
	f.absent("attention_bias", "use_bidirectional_attention")

	norm := f.rms(1e-6)
	norm.PlusOne = true
	attention := f.gemma3Attention(norm)
	f.only("hidden_activation", "gelu_pytorch_tanh")
	f.only("hidden_act", "gelu_pytorch_tanh")
	ffn := &Dense{Intermediate: f.size("intermediate_size", 9216, maxIntermediate), Activation: gpu.GELUTanh}

	s.Ropes = f.gemma3Ropes(attention.HeadDim)
	pattern := f.size("sliding_window_pattern", f.size("_sliding_window_pattern", 6, maxLayers), maxLayers)
	windows := f.windows(len(s.Layers), f.size("sliding_window", 4096, maxPositions), func(l int) bool { return (l+1)%pattern != 0 })
	for l := range s.Layers {
		a := attention
		a.Window = windows[l]
		a.Rope = gemmaGlobal
		if a.Window > 0 {
			a.Rope = gemmaLocal
		}
		s.Layers[l] = Layer{Norm: norm, Sandwich: true, GQA: &a, Dense: ffn}
	}
	s.FinalNorm = norm
	return s
}

// Indices of Spec.Ropes.
const (
	gemmaGlobal = iota
	gemmaLocal
)

func (f *fields) gemma3Attention(norm Norm) GQA {
	a := GQA{
		Heads:     f.size("num_attention_heads", 8, maxHeads),
		KVHeads:   f.size("num_key_value_heads", 4, maxHeads),
		HeadDim:   f.size("head_dim", 256, maxHeadDim),
		QKNorm:    PerHead,
		QKNormEps: norm.Eps, QKNormPlusOne: true,
		SoftCap: float32(f.float("attn_logit_softcapping", 0)),
	}
	a.Scale = inverseSqrt(f.positive("query_pre_attn_scalar", 256))
	return a
}

// gemma3Ropes reads the encodings of global and local layers, as rope_theta, rope_scaling and rope_local_base_freq or as a
// rope_parameters object with an entry per layer type. Scaling is for the global layers only.
func (f *fields) gemma3Ropes(headDim int) []Rope {
	params := f.object("rope_parameters")
	if params == nil || !params.has("full_attention") && !params.has("sliding_attention") {
		global := f.rope(1e6, headDim, false)
		local := Rope{Kind: "default", Base: f.positive("rope_local_base_freq", 10000), Dim: headDim, Factor: 1, Amplitude: 1}
		return []Rope{gemmaGlobal: global, gemmaLocal: local}
	}
	global := f.ropeFrom(params.object("full_attention"), f.positive("rope_theta", 1e6), 1, headDim, false)
	local := f.ropeFrom(params.object("sliding_attention"), f.positive("rope_local_base_freq", 10000), 1, headDim, false)
	f.absent("rope_scaling")
	params.finish()
	return []Rope{gemmaGlobal: global, gemmaLocal: local}
}

// gemma3 is a Gemma 3 with a vision tower: the text model is described by text_config, the tower is not run.
func gemma3(f *fields) *Spec {
	for _, name := range []string{
		"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index", "image_token_index",
		"boi_token_id", "eoi_token_id", "image_token_id",
	} {
		f.get(name)
	}
	text := f.object("text_config")
	if text == nil {
		f.fail("text_config is missing")
		text = f
	}
	text.only("model_type", "gemma3_text")
	s := gemma3Text(text)
	if text != f {
		text.finish()
	}
	if ids := f.wholes("eos_token_id", maxVocab); len(ids) > 0 {
		s.EOS = ids
	}
	if tied, own := f.bool("tie_word_embeddings", s.TiedHead), text.has("tie_word_embeddings"); !own {
		s.TiedHead = tied
	}
	return s
}
