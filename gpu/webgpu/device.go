//go:build cgo

package webgpu

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cogentcore/webgpu/wgpu"

	"shoal/gpu"
	"shoal/shaders"
)

const (
	paramBytes    = 64  // of one dispatch; the largest Params of the shaders
	maxDispatches = 128 // of one command buffer: the device runs it while the next is encoded
	// The first command buffers of a pass are smaller, so that the device has something to do early.
	firstDispatches = 16
	writePiece      = 16 << 20
	writeBacklog    = 64 << 20 // bytes written that may wait, in the library's own staging memory, for a submission
)

// Device is one opened adapter.
type Device struct {
	info         gpu.Info
	bindingLimit int64 // of a matrix's part
	bufferLimit  int64 // of any allocation: the adapter's largest buffer or storage binding
	paramStride  int
	allocated    atomic.Int64

	// mu is held for every call of the native library: error scopes and bind groups are per device.
	mu       sync.Mutex
	raw      *wgpu.Device // nil once closed
	queue    *wgpu.Queue
	params   *memory              // parameters of the dispatches of one command buffer, paramStride apart
	none     *memory              // bound where an optional buffer is missing
	scratch  *memory              // nil until an operation needs some; see scratchMemory
	memories map[*memory]struct{} // all that is not freed
	staging  []*memory            // idle buffers that passes are read back through
	kernels  map[shaders.Variant]*kernel
	groups   map[groupKey]*wgpu.BindGroup
	slabs    []*slab
	uploads  []upload
	waiting  int // bytes of uploads
	backlog  int // bytes written through the library since the last submission
	lastID   uint64
}

var errClosed = errors.New("webgpu: the device is closed")

func newDevice(raw *wgpu.Device, a Adapter, bindingLimit int64) (*Device, error) {
	limits := raw.GetLimits().Limits
	d := &Device{
		info: gpu.Info{
			Backend: "webgpu", Name: a.Name, Memory: a.Memory / 32 * 31,
			Integrated: a.Kind == "integrated", Software: a.Kind == "software", Stacks: true,
		},
		bindingLimit: clampInt(limits.MaxStorageBufferBindingSize),
		bufferLimit:  clampInt(min(limits.MaxBufferSize, limits.MaxStorageBufferBindingSize)),
		paramStride:  max(paramBytes, int(limits.MinUniformBufferOffsetAlignment)),
		raw:          raw, queue: raw.GetQueue(),
		kernels: map[shaders.Variant]*kernel{}, groups: map[groupKey]*wgpu.BindGroup{},
		memories: map[*memory]struct{}{},
	}
	if bindingLimit > 0 {
		d.bindingLimit = min(d.bindingLimit, bindingLimit)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	if d.params, err = d.allocate("parameters", d.paramStride*maxDispatches, wgpu.BufferUsageUniform|wgpu.BufferUsageCopyDst); err != nil {
		return nil, err
	}
	if d.none, err = d.allocate("none", 16, storage); err != nil {
		return nil, err
	}
	return d, nil
}

// Info describes the device. Memory leaves a thirty-second to the driver; it is 0 where [Adapter] has none.
func (d *Device) Info() gpu.Info { return d.info }

// BindingLimit is the size in bytes beyond which a matrix is split.
func (d *Device) BindingLimit() int64 { return d.bindingLimit }

// Allocated is the memory in use by buffers, matrices and this package's own.
func (d *Device) Allocated() int64 { return d.allocated.Load() }

// Close frees the device and its buffers and matrices. Calls with them are errors from now on, but for Free.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raw == nil {
		return
	}
	d.drain()
	for _, g := range d.groups {
		g.Release()
	}
	clear(d.groups) // or the buffers that they hold would release them again
	for _, k := range d.kernels {
		k.release()
	}
	for m := range d.memories { // or they would keep the library's device
		d.release(m)
	}
	d.queue.Release()
	d.raw.Release()
	d.raw = nil
}

// call runs f under the lock and the guard.
func (d *Device) call(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raw == nil {
		return errClosed
	}
	return guard(d.raw, f)
}

// WriteFloats copies data into b.
func (d *Device) WriteFloats(b gpu.Buffer, offset int, data []float32) error {
	if err := gpu.CheckWrite(b, gpu.F32, offset, len(data)); err != nil {
		return err
	}
	return d.writeBuffer(b, offset, bytesOf(data))
}

// WriteIDs copies data into b.
func (d *Device) WriteIDs(b gpu.Buffer, offset int, data []uint32) error {
	if err := gpu.CheckWrite(b, gpu.U32, offset, len(data)); err != nil {
		return err
	}
	return d.writeBuffer(b, offset, bytesOf(data))
}

func (d *Device) writeBuffer(b gpu.Buffer, offset int, data []byte) error {
	m, err := d.own(b)
	if err != nil {
		return err
	}
	err = d.call(func() error { return d.write(m, 4*offset, data) })
	if err != nil {
		return fmt.Errorf("write to buffer %s: %w", m.label, err)
	}
	return nil
}

// write copies data, a multiple of 4 bytes, to m, before whatever is submitted later. The caller holds the lock.
func (d *Device) write(m *memory, offset int, data []byte) error {
	if m.raw == nil {
		return errFreed(m)
	}
	if len(data) == 0 {
		return nil
	}
	if len(data) <= smallWrite {
		return d.enqueue(upload{m, offset, bytes.Clone(data)})
	}
	if len(d.uploads) > 0 { // they were written before
		if err := d.submit(nil, nil, nil); err != nil {
			return err
		}
	}
	for len(data) > 0 {
		piece := data[:min(len(data), writePiece)]
		if err := d.queue.WriteBuffer(m.raw, uint64(offset), piece); err != nil {
			return err
		}
		data, offset, d.backlog = data[len(piece):], offset+len(piece), d.backlog+len(piece)
		if d.backlog >= writeBacklog {
			d.queue.Submit()
			d.drain()
			d.backlog = 0
		}
	}
	return nil
}

// bytesOf returns the memory of s.
func bytesOf[T float32 | uint32](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 4*len(s))
}
