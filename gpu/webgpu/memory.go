//go:build cgo

package webgpu

import (
	"fmt"

	"github.com/cogentcore/webgpu/wgpu"

	"shoal/gpu"
)

const storage = wgpu.BufferUsageStorage | wgpu.BufferUsageCopyDst | wgpu.BufferUsageCopySrc

// memory is one allocation on the device.
type memory struct {
	label  string
	id     uint64       // unique on the device
	size   int          // bytes
	host   bool         // memory of the host, for transfers: not counted
	raw    *wgpu.Buffer // nil once freed
	groups []groupKey   // bind groups that hold it
}

// span is a part of an allocation that a shader sees.
type span struct {
	m            *memory
	offset, size int // bytes
}

func (m *memory) whole() span { return span{m: m, size: m.size} }

func errFreed(m *memory) error { return fmt.Errorf("%s was freed", m.label) }

// allocate returns zeroed memory, mapped if it is to be written by mapping. The caller holds the lock.
func (d *Device) allocate(label string, size int, usage wgpu.BufferUsage) (*memory, error) {
	if int64(size) > d.bufferLimit {
		return nil, fmt.Errorf("%s: %d bytes, and a buffer of this adapter holds at most %d", label, size, d.bufferLimit)
	}
	if most := d.info.Memory; most > 0 && d.Allocated()+int64(size) > most {
		return nil, fmt.Errorf("%s: %d bytes on %s, with %d of %d in use", label, size, d.info.Name, d.Allocated(), most)
	}
	m := &memory{label: label, size: size, host: usage&(wgpu.BufferUsageMapRead|wgpu.BufferUsageMapWrite) != 0}
	err := guard(d.raw, func() (err error) {
		m.raw, err = d.raw.CreateBuffer(&wgpu.BufferDescriptor{Label: label, Size: uint64(size), Usage: usage, MappedAtCreation: usage&wgpu.BufferUsageMapWrite != 0})
		return err
	})
	if err != nil {
		if m.raw != nil {
			m.raw.Release()
		}
		return nil, fmt.Errorf("%s: %d bytes on %s, with %d in use: %w", label, size, d.info.Name, d.Allocated(), err)
	}
	d.lastID++
	m.id = d.lastID
	d.memories[m] = struct{}{}
	if !m.host {
		d.allocated.Add(int64(size))
	}
	return m, nil
}

// scratchMemory returns memory of at least size bytes that all passes share: what one operation leaves there for its next dispatch
// is in one submission with it. It grows by doubling, and what it outgrows stays for passes that were recorded with it.
func (d *Device) scratchMemory(size int) (m *memory, err error) {
	d.mu.Lock()
	m = d.scratch
	d.mu.Unlock()
	if m != nil && m.size >= size {
		return m, nil
	}
	err = d.call(func() (err error) {
		if d.scratch == nil || d.scratch.size < size {
			least := 1 << 20
			if d.scratch != nil {
				least = 2 * d.scratch.size
			}
			if m, err = d.allocate("scratch", max(least, (size+15)/16*16), storage); err != nil {
				return err
			}
			d.scratch = m
		}
		m = d.scratch
		return nil
	})
	return m, err
}

// release frees m and the bind groups that hold it. Work that was submitted keeps what it needs. The caller holds the lock.
func (d *Device) release(m *memory) {
	if m.raw == nil {
		return
	}
	for _, key := range m.groups {
		if g, ok := d.groups[key]; ok {
			g.Release()
			delete(d.groups, key)
		}
	}
	m.raw.Release()
	m.raw, m.groups = nil, nil
	delete(d.memories, m)
	if !m.host {
		d.allocated.Add(-int64(m.size))
	}
}

// Buffer is device memory of 4-byte elements.
type Buffer struct {
	dev  *Device
	kind gpu.Kind
	n    int
	m    *memory
}

// NewBuffer returns n zeroed elements. They fit in the adapter's largest storage binding, because a shader sees a buffer whole.
func (d *Device) NewBuffer(label string, k gpu.Kind, n int) (gpu.Buffer, error) {
	if n < 1 || int64(n) > d.bufferLimit/4 {
		return nil, fmt.Errorf("buffer %s: %d elements of 4 bytes: want 1 to %d on %s", label, n, d.bufferLimit/4, d.info.Name)
	}
	b := &Buffer{dev: d, kind: k, n: n}
	err := d.call(func() (err error) {
		// Whole vec4s, so that a shader which reads four elements at a time reaches the last.
		b.m, err = d.allocate("buffer "+label, max(16, (4*n+15)/16*16), storage)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Kind is the type of the elements.
func (b *Buffer) Kind() gpu.Kind { return b.kind }

// Len is the number of elements.
func (b *Buffer) Len() int { return b.n }

// Free returns the memory. A pass that was recorded with the buffer and is not submitted yet will fail.
func (b *Buffer) Free() { b.dev.free(b.m) }

func (d *Device) free(list ...*memory) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range list {
		d.release(m)
	}
}

// own returns the memory of a buffer of this device.
func (d *Device) own(b gpu.Buffer) (*memory, error) {
	if ours, ok := b.(*Buffer); ok && ours.dev == d {
		return ours.m, nil
	}
	return nil, fmt.Errorf("a buffer of another device (%T)", b)
}
