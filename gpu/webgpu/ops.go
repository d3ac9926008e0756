//go:build cgo

package webgpu

import (
	"fmt"

	"shoal/gpu"
	"shoal/shaders"
)

// What shaders hold in workgroup memory bounds these; see attention.wgsl and topk.wgsl.
const (
	maxKeyDim  = 1024
	maxExperts = 1024
)

// RMSNorm runs rmsnorm.wgsl.
func (p *Pass) RMSNorm(dst, x, weight gpu.Buffer, s gpu.Norm) {
	if p.open(gpu.CheckRMSNorm(dst, x, weight, s)) {
		v := shaders.Variant{Op: "rmsnorm", Access: access(s.Width, s.SrcOffset, s.SrcStride)}
		p.dispatch(v, s.Rows, normParams(s), x, weight, dst)
	}
}

// LayerNorm runs layernorm.wgsl.
func (p *Pass) LayerNorm(dst, x, weight, bias gpu.Buffer, s gpu.Norm) {
	if p.open(gpu.CheckLayerNorm(dst, x, weight, bias, s)) {
		p.dispatch(shaders.Variant{Op: "layernorm"}, s.Rows, normParams(s), x, weight, bias, dst)
	}
}

func normParams(s gpu.Norm) params {
	a := words(s.Rows, s.Width, s.SrcOffset, or(s.SrcStride, s.Width), s.DstOffset, or(s.DstStride, s.Width))
	a[6] = bits(s.Eps)
	return a
}

// RoPE runs rope.wgsl.
func (p *Pass) RoPE(x, angles gpu.Buffer, s gpu.Rotation) {
	if p.open(gpu.CheckRoPE(x, angles, s)) {
		half := s.Rotary / 2
		p.threads("rope", s.Rows*s.Heads*half,
			words(s.Rows, s.Heads, s.HeadDim, s.Offset, half, or(s.RowStride, s.Heads*s.HeadDim), flag(s.Interleaved)), x, angles)
	}
}

// Heads runs heads.wgsl, a workgroup per head of each row.
func (p *Pass) Heads(q, keys, values, x, qNorm, kNorm, angles gpu.Buffer, s gpu.Heads) {
	if !p.open(gpu.CheckHeads(q, keys, values, x, qNorm, kNorm, angles, s)) {
		return
	}
	if s.HeadDim > shaders.MaxHead {
		p.err = fmt.Errorf("heads: %d elements, this device takes %d", s.HeadDim, shaders.MaxHead)
		return
	}
	a := words(s.Rows, s.Start, s.Heads, s.KVHeads, s.HeadDim, s.Rotary/2, flag(s.Interleaved), flag(qNorm != nil))
	a[8] = bits(s.Eps)
	p.dispatch(shaders.Variant{Op: "heads"}, s.Rows*(s.Heads+2*s.KVHeads), a, x, qNorm, kNorm, angles, q, keys, values)
}

const (
	splitGroups = 256     // workgroups that keep a card busy: with fewer, chunks of a row are computed apart
	mostParts   = 1 << 24 // elements of scratch that they may take
)

// Attention runs attention.wgsl, a workgroup per head of each row, or per chunk of a head's positions where these are few.
func (p *Pass) Attention(dst, q, keys, values, sinks gpu.Buffer, s gpu.Attention) {
	if !p.open(gpu.CheckAttention(dst, q, keys, values, sinks, s)) {
		return
	}
	if s.KeyDim > maxKeyDim {
		p.err = fmt.Errorf("attention: keys of %d elements, this device takes %d", s.KeyDim, maxKeyDim)
		return
	}
	v, err := shaders.Attention(access(s.KeyDim, s.KeyStride, s.ValueDim, s.ValueStride), s.ValueDim)
	if err != nil {
		p.err = err
		return
	}
	a := words(s.Rows, s.Start, s.Heads, s.Heads/s.KVHeads, s.KeyDim, s.ValueDim, s.KeyStride, s.ValueStride,
		0, s.Window, 0, flag(sinks != nil))
	a[8], a[10] = bits(s.Scale), bits(s.SoftCap)
	seen := s.Start + s.Rows
	if s.Window > 0 {
		seen = min(seen, s.Window)
	}
	chunks := ceil(seen, shaders.AttentionChunk)
	width := 4 // bytes of an element
	if v.Access == shaders.Vec4 {
		width = 16
	}
	parts := s.Rows * s.Heads * chunks
	need := parts * (s.ValueDim*4 + 2*width)
	if chunks < 2 || s.Rows*s.Heads >= splitGroups || need > 4*mostParts {
		p.dispatch(v, s.Rows*s.Heads, a, q, keys, values, sinks, dst)
		return
	}
	scratch := p.scratch(need)
	v.Split, a[12] = 1, uint32(chunks)
	p.dispatch(v, parts, a, q, keys, values, sinks, scratch)
	p.dispatch(shaders.Variant{Op: "attention_merge", Access: v.Access}, s.Rows*s.Heads,
		words(s.Rows, s.Start, s.Heads, s.ValueDim, s.Window, flag(sinks != nil), chunks), scratch, sinks, dst)
}

// Activate runs activate.wgsl.
func (p *Pass) Activate(dst, gate, up gpu.Buffer, n int, a gpu.Activation) {
	if p.open(gpu.CheckActivate(dst, gate, up, n, a)) {
		p.threads("activate", n, words(n, int(a)), gate, up, dst)
	}
}

// TopK runs topk.wgsl, a workgroup per row.
func (p *Pass) TopK(ids, weights, scores, bias gpu.Buffer, n int, s gpu.Gate) {
	if !p.open(gpu.CheckTopK(ids, weights, scores, bias, n, s)) {
		return
	}
	if s.Experts > maxExperts {
		p.err = fmt.Errorf("topk: %d experts, this device takes %d", s.Experts, maxExperts)
		return
	}
	scale := s.Scale
	if scale == 0 {
		scale = 1
	}
	a := words(n, s.Experts, s.K, int(s.Kind), flag(bias != nil), flag(s.Renormalise), max(1, s.Groups), s.TopGroups)
	a[8], a[9] = bits(scale), bits(s.Jitter)
	p.dispatch(shaders.Variant{Op: "topk"}, n, a, scores, bias, ids, weights)
}

// Combine runs combine.wgsl.
func (p *Pass) Combine(x, y, weights gpu.Buffer, n, k, width int) {
	if p.open(gpu.CheckCombine(x, y, weights, n, k, width)) {
		p.threads("combine", n*width, words(n, k, width), x, y, weights)
	}
}

// Add runs add.wgsl.
func (p *Pass) Add(x, y gpu.Buffer, n int) {
	if p.open(gpu.CheckAdd(x, y, n)) {
		p.threads("add", n, words(n), x, y)
	}
}

// AddSigmoid runs add_sigmoid.wgsl.
func (p *Pass) AddSigmoid(x, y, gate gpu.Buffer, n, width int) {
	if p.open(gpu.CheckAddSigmoid(x, y, gate, n, width)) {
		p.threads("add_sigmoid", n*width, words(n, width), x, y, gate)
	}
}

// Copy runs copy.wgsl.
func (p *Pass) Copy(dst, src gpu.Buffer, s gpu.Strided) {
	if p.open(gpu.CheckCopy(dst, src, s)) {
		p.threads("copy", s.Rows*s.Width, words(s.Rows, s.Width, s.SrcOffset, s.SrcStride, s.DstOffset, s.DstStride), src, dst)
	}
}

// argmaxSpan is how many elements of a row a workgroup of ArgMax looks at.
const argmaxSpan = 2048

// ArgMax runs argmax_parts.wgsl and argmax_merge.wgsl.
func (p *Pass) ArgMax(ids, x gpu.Buffer, n, width int) {
	if p.open(gpu.CheckArgMax(ids, x, n, width)) {
		parts := ceil(width, argmaxSpan)
		best := p.scratch(8 * max(1, n*parts))
		p.dispatch(shaders.Variant{Op: "argmax_parts"}, n*parts, words(n, width, parts, argmaxSpan), x, best)
		p.threads("argmax_merge", n, words(n, parts), best, ids)
	}
}

func or(stride, dense int) int {
	if stride == 0 {
		return dense
	}
	return stride
}
