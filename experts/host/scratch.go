package host

import "shoal/gpu"

// inner is scratch for the gated FFN: three buffers of [n, k, intermediate].
type inner struct{ gate, up, product gpu.Buffer }

func newInner(dev gpu.Device, n int) (in inner, err error) {
	for _, b := range []struct {
		dst   *gpu.Buffer
		label string
	}{{&in.gate, "experts gate"}, {&in.up, "experts up"}, {&in.product, "experts product"}} {
		buf, err := dev.NewBuffer(b.label, gpu.F32, n)
		if err != nil {
			in.free()
			return inner{}, err
		}
		*b.dst = buf
	}
	return in, nil
}

func (in inner) free() {
	for _, b := range []gpu.Buffer{in.gate, in.up, in.product} {
		if b != nil {
			b.Free()
		}
	}
}

// scratch is the device memory of one batch being run. It grows to the largest batch seen.
type scratch struct {
	dev       gpu.Device
	bufs      inner
	innerSize int

	x, ids, weights, y, sum gpu.Buffer // [n, hidden], [n, k], [n, k], [n, k, hidden], [n, hidden]
}

// reserve makes room for n rows of k slots.
func (s *scratch) reserve(n, k, hidden, intermediate int, sum bool) error {
	if want := n * k * intermediate; want > s.innerSize {
		s.bufs.free()
		s.bufs, s.innerSize = inner{}, 0
		bufs, err := newInner(s.dev, want)
		if err != nil {
			return err
		}
		s.bufs, s.innerSize = bufs, want
	}
	for _, b := range []struct {
		buf   *gpu.Buffer
		label string
		kind  gpu.Kind
		n     int
	}{
		{&s.x, "experts rows", gpu.F32, n * hidden},
		{&s.ids, "experts ids", gpu.U32, n * k},
		{&s.weights, "experts weights", gpu.F32, n * k},
		{&s.y, "experts outputs", gpu.F32, n * k * hidden},
		{&s.sum, "experts sum", gpu.F32, n * hidden},
	} {
		if (b.buf == &s.weights || b.buf == &s.sum) && !sum {
			continue
		}
		if *b.buf != nil {
			if (*b.buf).Len() >= b.n {
				continue
			}
			(*b.buf).Free()
			*b.buf = nil
		}
		buf, err := s.dev.NewBuffer(b.label, b.kind, b.n)
		if err != nil {
			return err
		}
		*b.buf = buf
	}
	return nil
}

func (s *scratch) free() {
	s.bufs.free()
	for _, b := range []gpu.Buffer{s.x, s.ids, s.weights, s.y, s.sum} {
		if b != nil {
			b.Free()
		}
	}
}
