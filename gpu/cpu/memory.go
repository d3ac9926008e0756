package cpu

import (
	"errors"
	"fmt"
	"sync/atomic"

	"shoal/gpu"
	"shoal/rdrr/quant"
)

// buffer holds floats or ids.
type buffer struct {
	dev    *Device
	n      int
	floats []float32
	ids    []uint32
	freed  atomic.Bool
}

func (b *buffer) Kind() gpu.Kind {
	if b.ids != nil {
		return gpu.U32
	}
	return gpu.F32
}

func (b *buffer) Len() int     { return b.n }
func (b *buffer) bytes() int64 { return int64(b.n) * 4 }

// Free gives the account its bytes back. The memory itself goes when no pass refers to it.
func (b *buffer) Free() {
	if !b.freed.Swap(true) {
		b.dev.allocated.Add(-b.bytes())
	}
}

// own returns b if it is a live buffer of this device.
func (d *Device) own(b gpu.Buffer) (*buffer, error) {
	own, ok := b.(*buffer)
	if !ok || own.dev != d {
		return nil, errors.New("a buffer of another device")
	}
	if own.freed.Load() {
		return nil, errors.New("a buffer that was freed")
	}
	return own, nil
}

// matrix is a stack of weight matrices in their stored blocks.
type matrix struct {
	dev               *Device
	label             string
	format            quant.Type
	count, rows, cols int
	stride            int      // bytes of a row
	data              [][]byte // of each matrix, nil until loaded: zeros
	owned             []bool   // data[i] was allocated here
	freed             atomic.Bool
}

var _ gpu.Aliaser = (*matrix)(nil)

func (m *matrix) Type() quant.Type { return m.format }
func (m *matrix) Count() int       { return m.count }
func (m *matrix) Rows() int        { return m.rows }
func (m *matrix) Cols() int        { return m.cols }
func (m *matrix) Bytes() int64     { return int64(m.count) * int64(m.rows) * int64(m.stride) }

// Load implements gpu.Matrix.
func (m *matrix) Load(i int, data []byte) error {
	if err := m.check(i, data); err != nil {
		return err
	}
	if !m.owned[i] {
		if err := m.dev.fits(m.label, int64(len(data))); err != nil {
			return err
		}
		m.data[i], m.owned[i] = make([]byte, len(data)), true
	}
	copy(m.data[i], data)
	return nil
}

// Alias implements gpu.Aliaser.
func (m *matrix) Alias(i int, data []byte) error {
	if err := m.check(i, data); err != nil {
		return err
	}
	m.data[i], m.owned[i] = data, false
	return nil
}

func (m *matrix) check(i int, data []byte) error {
	switch want := m.rows * m.stride; {
	case i < 0 || i >= m.count:
		return fmt.Errorf("matrix %s: load %d of %d", m.label, i, m.count)
	case len(data) != want:
		return fmt.Errorf("matrix %s: load %d: %d bytes, want %d for %v [%d, %d]", m.label, i, len(data), want, m.format, m.rows, m.cols)
	case m.freed.Load():
		return fmt.Errorf("matrix %s: load %d: it was freed", m.label, i)
	}
	return nil
}

// Free gives the account its bytes back and lets go of aliased memory: no pass may be running that uses the matrix.
func (m *matrix) Free() {
	if !m.freed.Swap(true) {
		m.dev.allocated.Add(-m.Bytes())
		clear(m.data)
	}
}
