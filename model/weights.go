package model

import (
	"shoal/gpu"
)

// linear is y = w x + bias.
type linear struct {
	w    gpu.Matrix
	bias gpu.Buffer // nil if there is none
}

// norm is a normalisation with its weight.
type norm struct {
	Norm
	width        int
	weight, bias gpu.Buffer // [width]; bias only if Centred
}

type layerWeights struct {
	attentionNorm, ffnNorm norm
	attentionOut, ffnOut   *norm // after the blocks, nil unless Sandwich
	gqa                    *gqaWeights
	mla                    *mlaWeights
	dense                  *denseWeights
	moe                    *moeWeights
}

type gqaWeights struct {
	q, k, v, o   linear
	joint        []jointRows // in place of q, k and v; see loadJoint
	qNorm, kNorm *norm
	sinks        gpu.Buffer // [heads], nil if there are none
}

type mlaWeights struct {
	qA           linear // only with a query latent
	qNorm        *norm
	q            linear // q_proj or q_b_proj
	kv           linear // hidden to latent and shared rotated key
	kvNorm       norm
	absorb, lift gpu.Matrix // see loadMLA
	o            linear
}

type denseWeights struct {
	gate, up, down gpu.Matrix
	pairs          gpu.Matrix // [2*intermediate, hidden]: gate and up row by row, in place of them
}

// jointRows is consecutive rows of a layer's query, key and value projections, one under the other.
type jointRows struct {
	linear
	first int // row
}

type moeWeights struct {
	router     linear
	selection  gpu.Buffer // [experts], nil if there is none
	shared     *denseWeights
	sharedGate gpu.Matrix // [1, hidden], nil if there is none
}

func (t *Trunk) loadLayer(ld *loader, l int) layerWeights {
	layer, hidden := &t.spec.Layers[l], t.spec.Hidden
	at := func(rest string) string { return layerName(l, rest) }
	w := layerWeights{attentionNorm: ld.norm(at("input_layernorm"), layer.Norm, hidden)}
	afterAttention := ld.norm(at("post_attention_layernorm"), layer.Norm, hidden)
	if layer.Sandwich { // the name that other families give the norm before the FFN is here the one after attention
		w.attentionOut = &afterAttention
		w.ffnNorm = ld.norm(at("pre_feedforward_layernorm"), layer.Norm, hidden)
		after := ld.norm(at("post_feedforward_layernorm"), layer.Norm, hidden)
		w.ffnOut = &after
	} else {
		w.ffnNorm = afterAttention
	}
	if layer.GQA != nil {
		w.gqa = loadGQA(ld, at, layer.GQA, hidden)
	} else {
		w.mla = loadMLA(ld, at, layer.MLA, hidden)
	}
	if layer.Dense != nil {
		w.dense = loadDense(ld, at("mlp."), layer.Dense.Intermediate, hidden)
	} else {
		w.moe = loadMoE(ld, at, layer.MoE, hidden)
	}
	return w
}

func loadGQA(ld *loader, at func(string) string, a *GQA, hidden int) *gqaWeights {
	q, kv := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	w := &gqaWeights{}
	if ld.dev.Info().Stacks && a.QKNorm != AcrossHeads {
		w.joint = ld.joint([]string{at("self_attn.q_proj"), at("self_attn.k_proj"), at("self_attn.v_proj")}, []int{q, kv, kv}, hidden, a.QKVBias)
	} else {
		w.q = ld.linear(at("self_attn.q_proj"), q, hidden, a.QKVBias)
		w.k = ld.linear(at("self_attn.k_proj"), kv, hidden, a.QKVBias)
		w.v = ld.linear(at("self_attn.v_proj"), kv, hidden, a.QKVBias)
	}
	w.o = ld.linear(at("self_attn.o_proj"), hidden, q, a.OutBias)
	if a.QKNorm != NoQKNorm {
		kind := Norm{Eps: a.QKNormEps, PlusOne: a.QKNormPlusOne}
		qWidth, kWidth := a.HeadDim, a.HeadDim
		if a.QKNorm == AcrossHeads {
			qWidth, kWidth = q, kv
		}
		qn := ld.norm(at("self_attn.q_norm"), kind, qWidth)
		kn := ld.norm(at("self_attn.k_norm"), kind, kWidth)
		w.qNorm, w.kNorm = &qn, &kn
	}
	if a.Sinks {
		w.sinks = ld.vector(at("self_attn.sinks"), a.Heads, 0)
	}
	return w
}

func loadDense(ld *loader, prefix string, intermediate, hidden int) *denseWeights {
	if ld.dev.Info().Stacks {
		if pairs := ld.pairs(prefix+"gate_proj.weight", prefix+"up_proj.weight", intermediate, hidden); pairs != nil {
			return &denseWeights{pairs: pairs, down: ld.matrix(prefix+"down_proj.weight", hidden, intermediate)}
		}
	}
	return &denseWeights{
		gate: ld.matrix(prefix+"gate_proj.weight", intermediate, hidden),
		up:   ld.matrix(prefix+"up_proj.weight", intermediate, hidden),
		down: ld.matrix(prefix+"down_proj.weight", hidden, intermediate),
	}
}

func loadMoE(ld *loader, at func(string) string, m *MoE, hidden int) *moeWeights {
	w := &moeWeights{router: ld.linear(at("mlp.gate"), m.Experts, hidden, m.RouterBias)}
	if m.SelectionBias {
		w.selection = ld.vector(at("mlp.gate.e_score_correction_bias"), m.Experts, 0)
	}
	if m.Shared != nil {
		w.shared = loadDense(ld, at("mlp.shared_expert."), m.Shared.Intermediate, hidden)
		if m.Shared.Gated {
			w.sharedGate = ld.matrix(at("mlp.shared_expert_gate.weight"), 1, hidden)
		}
	}
	return w
}
