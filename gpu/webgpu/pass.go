//go:build cgo

package webgpu

import (
	"errors"
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/shaders"
)

// Pass is a list of dispatches.
type Pass struct {
	dev   *Device
	err   error // the first
	done  bool
	steps []dispatch
}

// dispatch is one run of a shader.
type dispatch struct {
	variant shaders.Variant
	params  params
	groups  int // workgroups, at least 1
	spans   [maxSpans]span
	n       int // spans used
}

// params are the members of a shader's Params in their order.
type params [paramBytes / 4]uint32

// words returns integer parameters; float members are set with bits afterwards.
func words(v ...int) (p params) {
	for i, w := range v {
		p[i] = uint32(w)
	}
	return p
}

func bits(f float32) uint32 { return math.Float32bits(f) }

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Begin starts a pass.
func (d *Device) Begin() gpu.Pass { return &Pass{dev: d} }

// open reports whether an operation whose check returned err can be recorded.
func (p *Pass) open(err error) bool {
	if p.err == nil && p.done {
		p.err = errors.New("webgpu: the pass was submitted already")
	}
	if p.err == nil {
		p.err = err
	}
	return p.err == nil
}

// dispatch records a run of v over that many workgroups. A nil buffer stands for an optional one that is missing.
func (p *Pass) dispatch(v shaders.Variant, workgroups int, args params, buffers ...gpu.Buffer) {
	p.dispatchWeights(v, workgroups, args, nil, buffers...)
}

// dispatchWeights is dispatch with part of a matrix before the buffers.
func (p *Pass) dispatchWeights(v shaders.Variant, workgroups int, args params, weights *part, buffers ...gpu.Buffer) {
	if workgroups == 0 || p.err != nil {
		return
	}
	if workgroups > math.MaxUint32/256 {
		p.err = fmt.Errorf("%s: %d workgroups are more than a shader can count", v.Op, workgroups)
		return
	}
	s := dispatch{variant: v, params: args, groups: workgroups}
	add := func(x span) {
		s.spans[s.n] = x
		s.n++
	}
	if weights != nil {
		add(weights.main)
		if weights.scale.size > 0 {
			add(weights.scale)
		}
	}
	for _, b := range buffers {
		if b == nil {
			add(p.dev.none.whole())
			continue
		}
		m, err := p.dev.own(b)
		if err != nil {
			p.err = fmt.Errorf("%s: %w", v.Op, err)
			return
		}
		add(m.whole())
	}
	p.steps = append(p.steps, s)
}

// scratch returns at least size bytes, whose content lasts until the pass's next operation.
func (p *Pass) scratch(size int) gpu.Buffer {
	if p.err != nil {
		return nil
	}
	m, err := p.dev.scratchMemory(size)
	if err != nil {
		p.err = err
		return nil
	}
	return &Buffer{dev: p.dev, kind: gpu.U32, n: m.size / 4, m: m}
}

// threads records a run of a shader that computes one element per thread.
func (p *Pass) threads(op string, n int, args params, buffers ...gpu.Buffer) {
	p.dispatch(shaders.Variant{Op: op}, ceil(n, 64), args, buffers...)
}

func ceil(a, b int) int { return (a + b - 1) / b }
