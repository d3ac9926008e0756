package cpu

import (
	"errors"
	"fmt"

	"shoal/gpu"
)

// pass is the operations recorded so far, each a closure over slices. It implements gpu.Pass.
type pass struct {
	dev       *Device
	ops       []func()
	err       error
	submitted bool
}

// Submit runs the operations in order and then copies what is to be read.
func (p *pass) Submit(reads ...gpu.Readback) error {
	if p.submitted {
		return errors.New("a pass was submitted twice")
	}
	p.submitted = true
	if p.err != nil {
		return p.err
	}
	from := make([]*buffer, len(reads))
	for i, r := range reads {
		if err := gpu.CheckReadback(r); err != nil {
			return err
		}
		var err error
		if from[i], err = p.dev.own(r.From); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	for _, op := range p.ops {
		op()
	}
	p.ops = nil
	for i, r := range reads {
		copy(r.Floats, from[i].floats[min(r.Offset, len(from[i].floats)):])
		copy(r.IDs, from[i].ids[min(r.Offset, len(from[i].ids)):])
	}
	return nil
}

// ok notes the first error, of an operation's check or of the buffers it names, and reports whether to record the operation.
func (p *pass) ok(op string, check error, buffers ...gpu.Buffer) bool {
	if p.err != nil {
		return false
	}
	if p.err = check; check != nil {
		return false
	}
	for _, b := range buffers {
		if b == nil {
			continue
		}
		if _, err := p.dev.own(b); err != nil {
			p.err = fmt.Errorf("%s: %w", op, err)
			return false
		}
	}
	return true
}

// matrix returns w as this device's, or notes an error.
func (p *pass) matrix(op string, w gpu.Matrix) (*matrix, bool) {
	m, ok := w.(*matrix)
	switch {
	case !ok || m.dev != p.dev:
		p.err = fmt.Errorf("%s: a matrix of another device", op)
	case m.freed.Load():
		p.err = fmt.Errorf("%s: matrix %s was freed", op, m.label)
	}
	return m, p.err == nil
}

func (p *pass) record(op func()) { p.ops = append(p.ops, op) }

// floats returns the elements of a buffer that was checked, or nil for none.
func floats(b gpu.Buffer) []float32 {
	if b == nil {
		return nil
	}
	return b.(*buffer).floats
}

func ids(b gpu.Buffer) []uint32 { return b.(*buffer).ids }
