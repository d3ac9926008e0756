//go:build cgo

package webgpu

import (
	"errors"
	"fmt"

	"github.com/cogentcore/webgpu/wgpu"

	"shoal/gpu"
)

// Submit encodes and runs the pass.
func (p *Pass) Submit(reads ...gpu.Readback) error {
	for _, r := range reads {
		if !p.open(gpu.CheckReadback(r)) {
			break
		}
	}
	if p.err == nil && p.done {
		p.err = errors.New("webgpu: the pass was submitted already")
	}
	p.done = true
	if p.err != nil {
		return p.err
	}
	p.err = p.dev.run(p.steps, reads)
	p.steps = nil
	return p.err
}

// run submits the steps, in as many command buffers as their parameters need, and fills the readbacks.
func (d *Device) run(steps []dispatch, reads []gpu.Readback) error {
	size := 0
	for _, r := range reads {
		size += 4 * (len(r.Floats) + len(r.IDs))
	}
	var staging *memory
	var mapped mapping
	err := d.call(func() (err error) {
		for size := firstDispatches; len(steps) > size; size = min(2*size, maxDispatches) {
			if err := d.submit(steps[:size], nil, nil); err != nil {
				return err
			}
			steps = steps[size:]
		}
		if len(reads) > 0 { // at least a few bytes: to read is also to wait
			if staging, err = d.takeStaging(max(4, size)); err != nil {
				return err
			}
		}
		if err := d.submit(steps, reads, staging); err != nil {
			return err
		}
		if staging != nil {
			mapped = mapBuffer(staging.raw, wgpu.MapModeRead, max(4, size))
		}
		d.raw.Poll(false, nil) // lets the library drop what has finished
		return nil
	})
	if err != nil || staging == nil {
		if staging != nil {
			d.free(staging)
		}
		return err
	}
	if err := d.await(mapped); err != nil {
		d.free(staging)
		return err
	}
	err = d.call(func() error {
		data := staging.raw.GetMappedRange(0, uint(max(4, size)))
		for _, r := range reads {
			data = data[copy(bytesOf(r.Floats), data):]
			data = data[copy(bytesOf(r.IDs), data):]
		}
		return staging.raw.Unmap()
	})
	if err != nil {
		d.free(staging)
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.staging = append(d.staging, staging)
	return nil
}

// takeStaging returns a buffer of at least size bytes that passes are read back through, out of those that are idle. The
// caller holds the lock.
func (d *Device) takeStaging(size int) (*memory, error) {
	if n := len(d.staging); n > 0 {
		m := d.staging[n-1]
		d.staging = d.staging[:n-1]
		if m.size >= size {
			return m, nil
		}
		d.release(m)
	}
	return d.allocate("read-back", max(64<<10, (size+size/2)/4*4), wgpu.BufferUsageMapRead|wgpu.BufferUsageCopyDst)
}

// submit runs one command buffer: what waits to be written, the steps, then copies of what is read to the staging buffer.
func (d *Device) submit(steps []dispatch, reads []gpu.Readback, staging *memory) error {
	encoder, err := d.raw.CreateCommandEncoder(nil)
	if err != nil {
		return err
	}
	defer encoder.Release()
	uploads, waiting, submitted := d.uploads, d.waiting, false
	slab, err := d.encodeUploads(encoder, steps)
	defer func() {
		if !submitted { // a pass that fails loses no one's writes
			d.uploads, d.waiting = uploads, waiting
		}
		switch {
		case slab == nil:
		case submitted:
			d.returnSlab(slab)
		default:
			d.release(slab.m)
		}
	}()
	if err != nil {
		return err
	}
	if len(steps) > 0 {
		if err := d.encode(encoder, steps); err != nil {
			return err
		}
	}
	at := uint64(0)
	for _, r := range reads {
		n := uint64(4 * (len(r.Floats) + len(r.IDs)))
		m, err := d.own(r.From)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if m.raw == nil {
			return fmt.Errorf("read: %w", errFreed(m))
		}
		if n == 0 {
			continue
		}
		if err := encoder.CopyBufferToBuffer(m.raw, uint64(4*r.Offset), staging.raw, at, n); err != nil {
			return err
		}
		at += n
	}
	commands, err := encoder.Finish(nil)
	if err != nil {
		return err
	}
	defer commands.Release()
	d.queue.Submit(commands)
	submitted, d.backlog = true, 0
	return nil
}

// encode records the steps. Their parameters are in place, and those of earlier submissions were not disturbed: the copy that
// put them there is part of this one.
func (d *Device) encode(encoder *wgpu.CommandEncoder, steps []dispatch) error {
	pass := encoder.BeginComputePass(nil)
	defer pass.Release()
	var last *kernel
	for i := range steps {
		s := &steps[i]
		k, err := d.kernel(s.variant)
		if err != nil {
			return err
		}
		group, err := d.group(k, s.spans[:s.n])
		if err != nil {
			return fmt.Errorf("%s: %w", s.variant, err)
		}
		if k != last {
			pass.SetPipeline(k.pipeline)
			last = k
		}
		pass.SetBindGroup(0, group, []uint32{uint32(i * d.paramStride)})
		x, y := grid(s.groups)
		pass.DispatchWorkgroups(x, y, 1)
	}
	return pass.End()
}

// grid folds workgroups into two dimensions of at most 65,535, with as few as possible to spare.
func grid(n int) (x, y uint32) {
	const most = 65535
	rows := ceil(n, most)
	return uint32(ceil(n, rows)), uint32(rows)
}
