package model

// llama is Llama 2 and 3: grouped-query attention, SwiGLU, RMSNorm; Llama 3.1 and later with the llama3 RoPE scaling.
func llama(f *fields) *Spec {
	s := f.decoder(false)
	norm, a, ffn := f.rms(1e-6), f.gqa(s), f.dense()
	a.QKVBias = f.bool("attention_bias", false)
	a.OutBias = a.QKVBias
	f.absent("mlp_bias")
	s.Ropes = []Rope{f.rope(10000, a.HeadDim, false)}
	for l := range s.Layers {
		s.Layers[l] = Layer{Norm: norm, GQA: &a, Dense: ffn}
	}
	s.FinalNorm = norm
	return s
}
