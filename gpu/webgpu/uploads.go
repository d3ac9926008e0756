//go:build cgo

package webgpu

import (
	"github.com/cogentcore/webgpu/wgpu"
)

// Small writes wait on this side until the next submission and travel with it, together with the parameters, in one mapped
// buffer of the host: the library's own write allocates and frees such a buffer every time, which takes longer than a layer.

const (
	smallWrite  = 64 << 10 // bytes; larger writes go through the library at once
	mostWaiting = 1 << 20  // bytes that wait before they are submitted for themselves
)

// upload is a write that waits.
type upload struct {
	to     *memory
	offset int
	data   []byte // our own copy
}

// slab is a buffer of the host that a submission copies from.
type slab struct {
	m    *memory
	free mapping // done once the submission is, and m mapped again
}

// enqueue keeps a write for the next submission. The caller holds the lock.
func (d *Device) enqueue(u upload) error {
	d.uploads = append(d.uploads, u)
	d.waiting += len(u.data)
	if d.waiting >= mostWaiting {
		return d.submit(nil, nil, nil)
	}
	return nil
}

// takeSlab returns a mapped slab of at least size bytes. The caller holds the lock.
func (d *Device) takeSlab(size int) (*slab, error) {
	d.raw.Poll(false, nil)
	for i := 0; i < len(d.slabs); i++ {
		s := d.slabs[i]
		if !s.free.done() {
			continue
		}
		d.slabs[i] = d.slabs[len(d.slabs)-1]
		d.slabs = d.slabs[:len(d.slabs)-1]
		if err := s.free.result(); err == nil && s.m.size >= size {
			return s, nil
		}
		d.release(s.m)
		i--
	}
	m, err := d.allocate("uploads", max(256<<10, (size+size/2)/4*4), wgpu.BufferUsageMapWrite|wgpu.BufferUsageCopySrc)
	if err != nil {
		return nil, err
	}
	return &slab{m: m}, nil
}

// returnSlab has s mapped again after what was submitted. The caller holds the lock.
func (d *Device) returnSlab(s *slab) {
	s.free = mapBuffer(s.m.raw, wgpu.MapModeWrite, s.m.size)
	d.slabs = append(d.slabs, s)
}

// encodeUploads records the copies of all waiting writes and of the steps' parameters, and forgets the former. It returns the
// slab to be returned after the submission, nil if there is nothing to copy. The caller holds the lock.
func (d *Device) encodeUploads(encoder *wgpu.CommandEncoder, steps []dispatch) (*slab, error) {
	params := len(steps) * d.paramStride
	size := d.waiting + params
	uploads := d.uploads
	d.uploads, d.waiting = nil, 0
	if size == 0 {
		return nil, nil
	}
	s, err := d.takeSlab(size)
	if err != nil {
		return nil, err
	}
	view := s.m.raw.GetMappedRange(0, uint(s.m.size))
	for i := range steps {
		copy(view[i*d.paramStride:], bytesOf(steps[i].params[:]))
	}
	at := params
	for _, u := range uploads {
		at += copy(view[at:], u.data)
	}
	if err := s.m.raw.Unmap(); err != nil {
		d.release(s.m)
		return nil, err
	}
	if params > 0 {
		err = encoder.CopyBufferToBuffer(s.m.raw, 0, d.params.raw, 0, uint64(params))
	}
	at = params
	for _, u := range uploads {
		if u.to.raw != nil && err == nil { // a buffer may have been freed since
			err = encoder.CopyBufferToBuffer(s.m.raw, uint64(at), u.to.raw, uint64(u.offset), uint64(len(u.data)))
		}
		at += len(u.data)
	}
	if err != nil {
		d.release(s.m)
		return nil, err
	}
	return s, nil
}
