// Package cpu is the gpu.Device that computes on the processor, in plain Go: it needs no driver, no C compiler and no cgo. Weights
// stay in their stored blocks, and may be the pages of a mapped file (gpu.Aliaser); rows are decoded as they are used.
//
// Work is split over a pool of goroutines, by rows of weights, heads or rows of activations, never along a sum, and every sum is
// taken in an order that depends on its length alone. So results do not depend on the number of threads, nor a row's on its batch;
// products are rounded before they are added (no fused multiply-add), so that architectures agree but for exp and tanh.
//
// A pass runs when it is submitted, on the caller's goroutine and whatever of the pool is idle. The package does not choose where
// a model runs and holds no model.
package cpu

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// Device computes on the processor. It implements gpu.Device.
type Device struct {
	pool      *pool
	kernels   *kernels // nil: Go code
	int8      bool     // see Options
	memory    int64    // of the machine, 0 if unknown
	allocated atomic.Int64
}

var _ gpu.Device = (*Device)(nil)

// Options choose how a device computes. The zero value is what [New] takes.
type Options struct {
	// Threads, the caller's included; 0 or less stands for GOMAXPROCS.
	Threads int
	// Int8 rounds activations to 8 bits in blocks of 32 before they are multiplied with weights of up to 8 bits (but for F8), which is
	// several times faster and off by at most half of a step of 1/127 of a block's largest activation. See int8.go.
	Int8 bool
}

// New returns a device with that many threads, the caller's included; 0 or less stands for GOMAXPROCS.
func New(threads int) *Device { return Open(Options{Threads: threads}) }

// Open returns a device.
func Open(o Options) *Device {
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	d := &Device{pool: newPool(o.Threads), int8: o.Int8, memory: hostMemory()}
	if len(available) > 0 {
		d.kernels = available[0]
	}
	return d
}

// Info describes the processor. Memory is that of the machine, of which other programs use a part.
func (d *Device) Info() gpu.Info {
	name := hostName()
	if name == "" {
		name = runtime.GOARCH
	}
	return gpu.Info{Backend: "cpu", Name: name, Memory: d.memory, Threads: d.pool.threads}
}

// NewBuffer implements gpu.Device.
func (d *Device) NewBuffer(label string, k gpu.Kind, n int) (gpu.Buffer, error) {
	if n <= 0 || n > maxBytes/4 || k > gpu.U32 {
		return nil, fmt.Errorf("buffer %s: %d elements of kind %d", label, n, k)
	}
	if err := d.fits(label, int64(n)*4); err != nil {
		return nil, err
	}
	b := &buffer{dev: d, n: n}
	if k == gpu.U32 {
		b.ids = make([]uint32, n)
	} else {
		b.floats = make([]float32, n)
	}
	d.allocated.Add(b.bytes())
	return b, nil
}

// maxBytes is beyond any machine's memory, and products of two sizes below it stay within an int64 where they are checked.
const maxBytes = 1 << 46

// fits refuses an allocation larger than the machine, which would end the program.
func (d *Device) fits(label string, bytes int64) error {
	if d.memory > 0 && bytes > d.memory {
		return fmt.Errorf("%s: %d bytes exceed this machine's memory of %d", label, bytes, d.memory)
	}
	return nil
}

// NewMatrix implements gpu.Device. Memory is taken as matrices are loaded, and none for those that are aliased; Allocated counts
// the whole stack from the start.
func (d *Device) NewMatrix(label string, t quant.Type, count, rows, cols int) (gpu.Matrix, error) {
	if !t.Valid() || count < 1 || rows < 1 || cols < 1 || cols > maxBytes/8 {
		return nil, fmt.Errorf("matrix %s: %v [%d, %d, %d]", label, t, count, rows, cols)
	}
	stride := t.RowBytes(cols)
	if rows > maxBytes/stride || count > maxBytes/stride/rows {
		return nil, fmt.Errorf("matrix %s: %v [%d, %d, %d] is too large", label, t, count, rows, cols)
	}
	m := &matrix{dev: d, label: label, format: t, count: count, rows: rows, cols: cols, stride: stride,
		data: make([][]byte, count), owned: make([]bool, count)}
	d.allocated.Add(m.Bytes())
	return m, nil
}

// WriteFloats implements gpu.Device.
func (d *Device) WriteFloats(b gpu.Buffer, offset int, data []float32) error {
	if err := gpu.CheckWrite(b, gpu.F32, offset, len(data)); err != nil {
		return err
	}
	own, err := d.own(b)
	if err == nil {
		copy(own.floats[offset:], data)
	}
	return err
}

// WriteIDs implements gpu.Device.
func (d *Device) WriteIDs(b gpu.Buffer, offset int, data []uint32) error {
	if err := gpu.CheckWrite(b, gpu.U32, offset, len(data)); err != nil {
		return err
	}
	own, err := d.own(b)
	if err == nil {
		copy(own.ids[offset:], data)
	}
	return err
}

// Begin implements gpu.Device.
func (d *Device) Begin() gpu.Pass { return &pass{dev: d} }

// Allocated implements gpu.Device.
func (d *Device) Allocated() int64 { return d.allocated.Load() }

// Close ends the pool's goroutines. A pass submitted later still runs, on its caller's alone.
func (d *Device) Close() { d.pool.close() }
