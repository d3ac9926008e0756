package model

import (
	"fmt"

	"shoal/gpu"
)

// Sequence is one token sequence: its position and its KV cache. It takes one step at a time and belongs to one goroutine.
//
// A step is Embed, then for every layer Attend and one of FFN, Experts, or Route with Combine or CombineSum, then Logits,
// Best or Finish, which advances Position. A step that fails, or that Embed or Truncate cuts short, leaves Position where it
// was: the same tokens can be fed again.
type Sequence struct {
	t        *Trunk
	capacity int
	position int
	keys     []gpu.Buffer // per layer [capacity, key width]
	values   []gpu.Buffer // per layer [capacity, value width]; nil where values are read from keys
	step     *step        // nil between steps
}

// NewSequence makes an empty sequence with room for that many positions, at most the model's context. The memory of its cache
// is taken now: [ErrMemory] says that the device lacks it.
func (t *Trunk) NewSequence(positions int) (*Sequence, error) {
	if positions < 1 || positions > t.spec.MaxPositions {
		return nil, fmt.Errorf("a sequence of %d positions: %w: the model has 1 to %d", positions, ErrContext, t.spec.MaxPositions)
	}
	need := t.spec.CacheBytes(positions) + t.spec.scratchBytes(t.scratchRows(positions))
	if err := afford(t.dev, need, fmt.Sprintf("a sequence of %d positions", positions)); err != nil {
		return nil, err
	}
	s := &Sequence{t: t, capacity: positions, keys: make([]gpu.Buffer, len(t.layers)), values: make([]gpu.Buffer, len(t.layers))}
	for l := range t.layers {
		keys, values := t.spec.Layers[l].cacheWidths()
		for _, c := range []struct {
			at    *gpu.Buffer
			width int
		}{{&s.keys[l], keys}, {&s.values[l], values}} {
			if c.width == 0 {
				continue
			}
			b, err := t.dev.NewBuffer("kv cache", gpu.F32, positions*c.width)
			if err != nil {
				s.Close()
				return nil, fmt.Errorf("layer %d: KV cache of %d positions: %w", l, positions, err)
			}
			*c.at = b
		}
	}
	return s, nil
}

// Position is the number of tokens that the sequence holds.
func (s *Sequence) Position() int { return s.position }

// Capacity is the number of tokens that the sequence has room for.
func (s *Sequence) Capacity() int { return s.capacity }

// Truncate forgets the tokens from pos on, and a step in progress.
func (s *Sequence) Truncate(pos int) error {
	if pos < 0 || pos > s.position {
		return fmt.Errorf("truncate to position %d of %d", pos, s.position)
	}
	s.end()
	s.position = pos
	return nil
}

// Close frees the cache.
func (s *Sequence) Close() {
	s.end()
	for _, list := range [][]gpu.Buffer{s.keys, s.values} {
		for i, b := range list {
			if b != nil {
				b.Free()
				list[i] = nil
			}
		}
	}
	s.capacity = 0
}

// Embed starts a step with the given tokens at Position, dropping a step in progress.
func (s *Sequence) Embed(tokens []int) error {
	s.end()
	n := len(tokens)
	switch {
	case n == 0:
		return fmt.Errorf("a step of no tokens")
	case n > s.t.rows:
		return fmt.Errorf("a step of %d tokens: the most is %d, feed longer prompts in several steps", n, s.t.rows)
	case n > s.capacity-s.position:
		return fmt.Errorf("%d tokens at position %d: %w: the sequence has %d positions", n, s.position, ErrContext, s.capacity)
	}
	ids := make([]uint32, n)
	for i, token := range tokens {
		if token < 0 || token >= s.t.spec.Vocab {
			return fmt.Errorf("token %d at position %d: the vocabulary has %d", token, s.position+i, s.t.spec.Vocab)
		}
		ids[i] = uint32(token)
	}
	b, err := s.t.take(n)
	if err != nil {
		return err
	}
	st := &step{t: s.t, b: b, n: n, start: s.position}
	s.step = st
	if err := st.upload(ids); err != nil {
		return s.fail(fmt.Errorf("embed: %w", err))
	}
	st.p = s.t.dev.Begin()
	st.p.Embed(b.x, s.t.embedding, b.ids, n, s.t.spec.EmbeddingScale)
	return nil
}

// Attend runs a layer's attention and adds it to the residual stream, norms the result for the FFN, and in a MoE layer
// scores and chooses the experts.
func (s *Sequence) Attend(layer int) error {
	st, err := s.at(layer, atAttention)
	if err != nil {
		return err
	}
	w := &s.t.layers[layer]
	st.norm(st.b.h, st.b.x, &w.attentionNorm)
	if w.gqa != nil {
		st.gqa(w.gqa, s.t.spec.Layers[layer].GQA, s.keys[layer], s.values[layer])
		st.project(st.b.attended, w.gqa.o, w.attentionOut)
	} else {
		st.mla(w.mla, s.t.spec.Layers[layer].MLA, s.keys[layer])
		st.project(st.b.attended, w.mla.o, w.attentionOut)
	}
	st.norm(st.b.h, st.b.x, &w.ffnNorm)
	st.stage = atFFN
	if w.moe != nil {
		st.choose(w.moe, s.t.spec.Layers[layer].MoE)
		st.stage = atExperts
	}
	return nil
}

// FFN runs a dense layer's FFN and adds it to the residual stream.
func (s *Sequence) FFN(layer int) error {
	st, err := s.at(layer, atFFN)
	if err != nil {
		return err
	}
	w := &s.t.layers[layer]
	st.gated(w.dense, *s.t.spec.Layers[layer].Dense)
	st.project(st.b.act, linear{w: w.dense.down}, w.ffnOut)
	st.next()
	return nil
}

// LayerExperts runs the routed experts of one layer on the trunk's device. Forward records the work for n rows of x [n, hidden],
// k experts each by ids [n, k], and writes their unweighted outputs to y [n, k, hidden].
type LayerExperts interface {
	Forward(p gpu.Pass, y, x, ids gpu.Buffer, n, k int) error
}

// LayerExpertsAdder is LayerExperts that can add their outputs to the residual stream themselves: ForwardAdd does what Forward and
// gpu.Pass.Combine would, in bits too. x [n, hidden] is added to, h [n, hidden] read, and y [n, k, hidden] is scratch.
type LayerExpertsAdder interface {
	LayerExperts
	ForwardAdd(p gpu.Pass, x, y, h, ids, weights gpu.Buffer, n, k int) error
}

// Experts runs a MoE layer whose experts are all on the trunk's device. Nothing is read back.
func (s *Sequence) Experts(layer int, e LayerExperts) error {
	st, err := s.at(layer, atExperts, atCombine)
	if err != nil {
		return err
	}
	m := s.t.spec.Layers[layer].MoE
	if st.stage == atExperts {
		st.shared(s.t.layers[layer].moe, m)
	}
	if adder, ok := e.(LayerExpertsAdder); ok {
		err = adder.ForwardAdd(st.p, st.b.x, st.b.y, st.b.h, st.b.experts, st.b.weights, st.n, m.TopK)
	} else {
		err = e.Forward(st.p, st.b.y, st.b.h, st.b.experts, st.n, m.TopK)
		st.p.Combine(st.b.x, st.b.y, st.b.weights, st.n, m.TopK, s.t.spec.Hidden)
	}
	if err != nil {
		return s.fail(fmt.Errorf("layer %d: %w", layer, err))
	}
	st.next()
	return nil
}

// Routes says which experts each of n rows goes to, best first, and with which weights.
type Routes struct {
	K       int
	Experts []uint32  // [n, K]
	Weights []float32 // [n, K]
}

// Route submits the step so far and reads back what a MoE layer's experts are to work on, normed activations [n, hidden],
// and the choice. The shared experts then run while the caller waits for others.
func (s *Sequence) Route(layer int) (h []float32, r Routes, err error) {
	st, err := s.at(layer, atExperts)
	if err != nil {
		return nil, Routes{}, err
	}
	m := s.t.spec.Layers[layer].MoE
	h = make([]float32, st.n*s.t.spec.Hidden)
	r = Routes{K: m.TopK, Experts: make([]uint32, st.n*m.TopK), Weights: make([]float32, st.n*m.TopK)}
	err = st.submit(gpu.Readback{From: st.b.h, Floats: h}, gpu.Readback{From: st.b.experts, IDs: r.Experts}, gpu.Readback{From: st.b.weights, Floats: r.Weights})
	if err != nil {
		return nil, Routes{}, s.fail(fmt.Errorf("layer %d: route: %w", layer, err))
	}
	if m.Shared != nil {
		st.shared(s.t.layers[layer].moe, m)
		if err := st.submit(); err != nil {
			return nil, Routes{}, s.fail(fmt.Errorf("layer %d: shared expert: %w", layer, err))
		}
	}
	st.stage = atCombine
	return h, r, nil
}

// Scores reads back the router's scores [n, experts] of a MoE layer that was attended, as they were before the gate.
func (s *Sequence) Scores(layer int) ([]float32, error) {
	st, err := s.at(layer, atExperts, atCombine)
	if err != nil {
		return nil, err
	}
	out := make([]float32, st.n*s.t.spec.Layers[layer].MoE.Experts)
	if err := st.submit(gpu.Readback{From: st.b.scores, Floats: out}); err != nil {
		return nil, s.fail(fmt.Errorf("layer %d: router scores: %w", layer, err))
	}
	return out, nil
}

// Combine adds the experts' unweighted outputs y [n, K, hidden], in the order of the routes, with the routes' weights.
func (s *Sequence) Combine(layer int, y []float32) error {
	st, err := s.at(layer, atCombine)
	if err != nil {
		return err
	}
	k, hidden := s.t.spec.Layers[layer].MoE.TopK, s.t.spec.Hidden
	if len(y) != st.n*k*hidden {
		return fmt.Errorf("layer %d: %d values of expert outputs, want %d rows of %d", layer, len(y), st.n*k, hidden)
	}
	if err := s.t.dev.WriteFloats(st.b.y, 0, y); err != nil {
		return s.fail(fmt.Errorf("layer %d: combine: %w", layer, err))
	}
	st.p.Combine(st.b.x, st.b.y, st.b.weights, st.n, k, hidden)
	st.next()
	return nil
}

// CombineSum adds y [n, hidden], the experts' outputs already weighted and summed.
func (s *Sequence) CombineSum(layer int, y []float32) error {
	st, err := s.at(layer, atCombine)
	if err != nil {
		return err
	}
	hidden := s.t.spec.Hidden
	if len(y) != st.n*hidden {
		return fmt.Errorf("layer %d: %d values of summed expert outputs, want %d rows of %d", layer, len(y), st.n, hidden)
	}
	if err := s.t.dev.WriteFloats(st.b.y, 0, y); err != nil {
		return s.fail(fmt.Errorf("layer %d: combine: %w", layer, err))
	}
	st.p.Add(st.b.x, st.b.y, st.n*hidden)
	st.next()
	return nil
}

// Finish ends a step without logits: a chunk of a prompt that is not the last.
func (s *Sequence) Finish() error {
	st, err := s.at(len(s.t.layers), atAttention)
	if err != nil {
		return err
	}
	if err := st.p.Submit(); err != nil {
		return s.fail(fmt.Errorf("finish: %w", err))
	}
	s.advance()
	return nil
}

// Hidden reads back the residual stream [n, hidden] at any point of a step.
func (s *Sequence) Hidden() ([]float32, error) {
	if s.step == nil {
		return nil, errNoStep
	}
	out := make([]float32, s.step.n*s.t.spec.Hidden)
	if err := s.step.submit(gpu.Readback{From: s.step.b.x, Floats: out}); err != nil {
		return nil, s.fail(fmt.Errorf("read hidden state: %w", err))
	}
	return out, nil
}

func (s *Sequence) advance() {
	s.position += s.step.n
	s.end()
}

// fail drops the step and returns err.
func (s *Sequence) fail(err error) error {
	s.end()
	return err
}

// end gives the step's memory back. Work that is still under way on it comes before whatever the next owner submits.
func (s *Sequence) end() {
	if s.step != nil {
		s.t.give(s.step.b)
		s.step = nil
	}
}
