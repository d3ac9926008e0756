package model

// gated runs the first half of a gated FFN on b.h: b.act = act(gate h) * up h.
func (st *step) gated(w *denseWeights, d Dense) {
	b := st.b
	if w.pairs != nil {
		st.p.MatMulGated(b.act, b.h, w.pairs, nil, st.n, d.Activation)
		return
	}
	st.p.MatMul(b.gate, b.h, w.gate, nil, st.n)
	st.p.MatMul(b.up, b.h, w.up, nil, st.n)
	st.p.Activate(b.act, b.gate, b.up, st.n*d.Intermediate, d.Activation)
}

// choose scores the experts for every row of b.h and chooses the best: b.experts and b.weights [n, k].
func (st *step) choose(w *moeWeights, m *MoE) {
	st.linear(st.b.scores, st.b.h, w.router)
	st.p.TopK(st.b.experts, st.b.weights, st.b.scores, w.selection, st.n, m.Gate)
}

// shared adds the shared expert's result to the residual stream, before the routed experts' in every mode.
func (st *step) shared(w *moeWeights, m *MoE) {
	if m.Shared == nil {
		return
	}
	b, hidden := st.b, st.t.spec.Hidden
	st.gated(w.shared, m.Shared.Dense)
	if w.sharedGate == nil {
		st.project(b.act, linear{w: w.shared.down}, nil)
		return
	}
	st.linear(b.out, b.act, linear{w: w.shared.down})
	st.p.MatMul(b.shared, b.h, w.sharedGate, nil, st.n)
	st.p.AddSigmoid(b.x, b.out, b.shared, st.n, hidden)
}
