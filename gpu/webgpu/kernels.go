//go:build cgo

package webgpu

import (
	"fmt"

	"github.com/cogentcore/webgpu/wgpu"

	"shoal/shaders"
)

// kernel is a compiled shader.
type kernel struct {
	id       int
	bindings []shaders.Binding // without the parameters
	threads  int
	layout   *wgpu.BindGroupLayout
	pipeline *wgpu.ComputePipeline
}

func (k *kernel) release() {
	k.pipeline.Release()
	k.layout.Release()
}

// maxSpans is how many buffers a shader binds beside its parameters.
const maxSpans = 7

// groupKey identifies a bind group: a kernel and, per binding, the allocation and the offset in it.
type groupKey struct {
	kernel int
	spans  [maxSpans]struct {
		id     uint64
		offset int
	}
}

// kernel compiles v, once. The caller holds the lock.
func (d *Device) kernel(v shaders.Variant) (*kernel, error) {
	if k, ok := d.kernels[v]; ok {
		return k, nil
	}
	k, err := d.compile(v)
	if err != nil {
		return nil, fmt.Errorf("shader %s: %w", v, err)
	}
	d.kernels[v] = k
	return k, nil
}

func (d *Device) compile(v shaders.Variant) (*kernel, error) {
	source, err := v.Source()
	if err != nil {
		return nil, err
	}
	k := &kernel{id: len(d.kernels)}
	k.threads, _ = shaders.Constant(source, "THREADS")
	var entries []wgpu.BindGroupLayoutEntry
	for _, b := range shaders.Bindings(source) {
		e := wgpu.BindGroupLayoutEntry{Binding: uint32(b.Number), Visibility: wgpu.ShaderStageCompute}
		switch b.Kind {
		case shaders.ReadOnly:
			e.Buffer.Type = wgpu.BufferBindingTypeReadOnlyStorage
		case shaders.ReadWrite:
			e.Buffer.Type = wgpu.BufferBindingTypeStorage
		case shaders.Uniform:
			e.Buffer.Type, e.Buffer.HasDynamicOffset = wgpu.BufferBindingTypeUniform, true
		}
		entries = append(entries, e)
		if b.Kind != shaders.Uniform {
			k.bindings = append(k.bindings, b)
		}
	}
	module, err := d.raw.CreateShaderModule(&wgpu.ShaderModuleDescriptor{
		Label: v.String(), WGSLDescriptor: &wgpu.ShaderModuleWGSLDescriptor{Code: source},
	})
	if err != nil {
		return nil, err
	}
	defer module.Release()
	if k.layout, err = d.raw.CreateBindGroupLayout(&wgpu.BindGroupLayoutDescriptor{Label: v.String(), Entries: entries}); err != nil {
		return nil, err
	}
	layout, err := d.raw.CreatePipelineLayout(&wgpu.PipelineLayoutDescriptor{BindGroupLayouts: []*wgpu.BindGroupLayout{k.layout}})
	if err != nil {
		k.layout.Release()
		return nil, err
	}
	defer layout.Release()
	k.pipeline, err = d.raw.CreateComputePipeline(&wgpu.ComputePipelineDescriptor{
		Label: v.String(), Layout: layout,
		Compute: wgpu.ProgrammableStageDescriptor{Module: module, EntryPoint: "main"},
	})
	if err != nil {
		k.layout.Release()
		return nil, err
	}
	return k, nil
}

// group returns the bind group of k with these spans, in the order of its bindings. The caller holds the lock.
func (d *Device) group(k *kernel, spans []span) (*wgpu.BindGroup, error) {
	if len(spans) != len(k.bindings) {
		return nil, fmt.Errorf("%d buffers for %d bindings", len(spans), len(k.bindings))
	}
	key := groupKey{kernel: k.id}
	for i, s := range spans {
		if s.m.raw == nil {
			return nil, errFreed(s.m)
		}
		key.spans[i].id, key.spans[i].offset = s.m.id, s.offset
	}
	if g, ok := d.groups[key]; ok {
		return g, nil
	}
	entries := []wgpu.BindGroupEntry{{Binding: 7, Buffer: d.params.raw, Size: paramBytes}}
	for i, s := range spans {
		entries = append(entries, wgpu.BindGroupEntry{
			Binding: uint32(k.bindings[i].Number), Buffer: s.m.raw, Offset: uint64(s.offset), Size: uint64(s.size),
		})
	}
	g, err := d.raw.CreateBindGroup(&wgpu.BindGroupDescriptor{Layout: k.layout, Entries: entries})
	if err != nil {
		return nil, err
	}
	d.groups[key] = g
	for _, s := range spans {
		s.m.groups = append(s.m.groups, key)
	}
	return g, nil
}
