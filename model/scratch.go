package model

import (
	"fmt"

	"shoal/gpu"
)

// scratch holds the activations of one step of up to rows tokens. A step owns one from Embed to its end; between steps it
// lies in the trunk's pool, so that idle sequences hold nothing but their caches.
type scratch struct {
	rows   int
	ids    gpu.Buffer   // [rows] tokens
	angles []gpu.Buffer // per rope [rows, dim/2, 2]

	x   gpu.Buffer // [rows, hidden] the residual stream
	h   gpu.Buffer // [rows, hidden] what a norm made of it
	out gpu.Buffer // [rows, hidden] a block's result, before it joins x

	q, qn    gpu.Buffer // [rows, query width] queries, and normed
	k, kn    gpu.Buffer // [rows, key width]
	v        gpu.Buffer // [rows, value width]
	qkv      gpu.Buffer // [rows, query width + 2 key widths] in place of qn, k, kn and v where the projection is joint
	attended gpu.Buffer // [rows, heads * value dim]

	qa, qan    gpu.Buffer // [rows, query rank] query latent, and normed
	latent     gpu.Buffer // [rows, cache width]
	absorbed   gpu.Buffer // [rows, heads, cache width] queries in the latent's space
	latentMean gpu.Buffer // [rows, heads, kv rank] attended latents

	gate, up, act gpu.Buffer // [rows, intermediate]

	scores  gpu.Buffer // [rows, experts]
	experts gpu.Buffer // [rows, k] ids of the chosen
	weights gpu.Buffer // [rows, k]
	y       gpu.Buffer // [rows, k, hidden] what they answered
	shared  gpu.Buffer // [rows] the shared expert's gate

	logits gpu.Buffer // [logitRows, vocab]
	best   gpu.Buffer // [logitRows]

	logitRows int
	buffers   []gpu.Buffer
}

// logitElements bounds the logits that a step of many rows computes at a time.
const logitElements = 1 << 22

// widths are the largest row widths over all layers.
type widths struct {
	q, kv, qkv, attended                  int
	qRank, latent, absorbed, latentMean   int
	intermediate, experts, topK, sharedOn int
}

func (s *Spec) widths() widths {
	var w widths
	grow := func(at *int, n int) { *at = max(*at, n) }
	for i := range s.Layers {
		l := &s.Layers[i]
		if a := l.GQA; a != nil {
			grow(&w.q, a.Heads*a.HeadDim)
			grow(&w.kv, a.KVHeads*a.HeadDim)
			grow(&w.qkv, (a.Heads+2*a.KVHeads)*a.HeadDim)
			grow(&w.attended, a.Heads*a.HeadDim)
		}
		if a := l.MLA; a != nil {
			grow(&w.q, a.Heads*(a.NopeDim+a.RopeDim))
			grow(&w.attended, a.Heads*a.ValueDim)
			grow(&w.qRank, a.QRank)
			grow(&w.latent, a.CacheWidth())
			grow(&w.absorbed, a.Heads*a.CacheWidth())
			grow(&w.latentMean, a.Heads*a.KVRank)
		}
		if l.Dense != nil {
			grow(&w.intermediate, l.Dense.Intermediate)
		}
		if m := l.MoE; m != nil {
			grow(&w.experts, m.Experts)
			grow(&w.topK, m.TopK)
			if m.Shared != nil {
				grow(&w.intermediate, m.Shared.Intermediate)
				w.sharedOn = 1
			}
		}
	}
	return w
}

// plan lists the buffers of a scratch with their widths per row.
func (b *scratch) plan(s *Spec) []planned {
	w := s.widths()
	list := []planned{
		{&b.ids, "tokens", gpu.U32, b.rows}, {&b.x, "x", gpu.F32, b.rows * s.Hidden},
		{&b.h, "h", gpu.F32, b.rows * s.Hidden}, {&b.out, "out", gpu.F32, b.rows * s.Hidden},
		{&b.q, "q", gpu.F32, b.rows * w.q}, {&b.qn, "q normed", gpu.F32, b.rows * w.q},
		{&b.k, "k", gpu.F32, b.rows * w.kv}, {&b.kn, "k normed", gpu.F32, b.rows * w.kv},
		{&b.v, "v", gpu.F32, b.rows * w.kv}, {&b.qkv, "qkv", gpu.F32, b.rows * w.qkv}, {&b.attended, "attended", gpu.F32, b.rows * w.attended},
		{&b.qa, "query latent", gpu.F32, b.rows * w.qRank}, {&b.qan, "query latent normed", gpu.F32, b.rows * w.qRank},
		{&b.latent, "latent", gpu.F32, b.rows * w.latent}, {&b.absorbed, "absorbed queries", gpu.F32, b.rows * w.absorbed},
		{&b.latentMean, "attended latents", gpu.F32, b.rows * w.latentMean},
		{&b.gate, "gate", gpu.F32, b.rows * w.intermediate}, {&b.up, "up", gpu.F32, b.rows * w.intermediate},
		{&b.act, "activated", gpu.F32, b.rows * w.intermediate},
		{&b.scores, "router scores", gpu.F32, b.rows * w.experts}, {&b.experts, "routes", gpu.U32, b.rows * w.topK},
		{&b.weights, "route weights", gpu.F32, b.rows * w.topK}, {&b.y, "expert outputs", gpu.F32, b.rows * w.topK * s.Hidden},
		{&b.shared, "shared gate", gpu.F32, b.rows * w.sharedOn},
		{&b.logits, "logits", gpu.F32, b.logitRows * s.Vocab}, {&b.best, "best tokens", gpu.U32, b.logitRows},
	}
	for i, r := range s.Ropes {
		list = append(list, planned{&b.angles[i], "angles", gpu.F32, b.rows * r.Dim})
	}
	return list
}

type planned struct {
	at       *gpu.Buffer
	label    string
	kind     gpu.Kind
	elements int
}

func emptyScratch(s *Spec, rows int) *scratch {
	return &scratch{rows: rows, angles: make([]gpu.Buffer, len(s.Ropes)), logitRows: min(rows, max(1, logitElements/s.Vocab))}
}

// scratchBytes is what a scratch of that many rows takes.
func (s *Spec) scratchBytes(rows int) int64 {
	n := int64(0)
	for _, p := range emptyScratch(s, rows).plan(s) {
		n += 4 * int64(p.elements)
	}
	return n
}

// scratchRows is the size of the scratch that serves a step of n rows. Sizes are few, so that a pool serves prompts and single
// tokens alike.
func (t *Trunk) scratchRows(n int) int {
	for _, size := range []int{8, 64} {
		if n <= size && size < t.rows {
			return size
		}
	}
	return t.rows
}

// Working is the device memory that steps of that many tokens take beside weights and KV cache, and the number of rows that it is
// for. It is taken by the first such step and kept for later ones; one token takes less than a prompt, and has its own.
func (t *Trunk) Working(tokens int) (bytes int64, rows int) {
	rows = t.scratchRows(tokens)
	return t.spec.scratchBytes(rows), rows
}

// take returns a scratch for n rows from the pool, or a new one.
func (t *Trunk) take(n int) (*scratch, error) {
	rows := t.scratchRows(n)
	t.mu.Lock()
	for i, b := range t.pool {
		if b.rows == rows {
			t.pool = append(t.pool[:i], t.pool[i+1:]...)
			t.mu.Unlock()
			return b, nil
		}
	}
	t.mu.Unlock()

	b := emptyScratch(t.spec, rows)
	for _, p := range b.plan(t.spec) {
		if p.elements == 0 {
			continue
		}
		buffer, err := t.dev.NewBuffer(p.label, p.kind, p.elements)
		if err != nil {
			b.free()
			return nil, fmt.Errorf("scratch memory for %d tokens: %w", rows, err)
		}
		*p.at = buffer
		b.buffers = append(b.buffers, buffer)
	}
	return b, nil
}

func (t *Trunk) give(b *scratch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pool = append(t.pool, b)
}

func (b *scratch) free() {
	for _, buffer := range b.buffers {
		buffer.Free()
	}
	b.buffers = nil
}
