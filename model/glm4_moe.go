package model

import "shoal/gpu"

// glm4MoE is GLM-4.5: grouped-query attention with biases on q, k and v, rotation of a part of each head, optional norms of
// queries and keys, and DeepSeek-V3's experts.
func glm4MoE(f *fields) *Spec {
	s := f.decoder(false)
	norm, a := f.rms(1e-5), f.gqa(s)
	a.QKVBias = f.bool("attention_bias", false)
	if f.bool("use_qk_norm", false) {
		a.QKNorm, a.QKNormEps = PerHead, norm.Eps
	}
	s.Ropes = []Rope{f.rope(10000, a.HeadDim, false)}

	moe := f.deepseekExperts()
	moe.SelectionBias = true
	moe.Gate.Kind = gpu.SigmoidTopK
	moe.Gate.Renormalise = f.bool("norm_topk_prob", true)
	ffn := f.dense()
	dense := f.whole("first_k_dense_replace", 1, maxLayers)
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a}
		if l < dense {
			s.Layers[l].Dense = ffn
		} else {
			s.Layers[l].MoE = moe
		}
	}
	s.FinalNorm = norm
	return s
}
