package host

import (
	"sync"

	"shoal/gpu"
)

// Layer is a layer whose experts are all held. A trunk on the same device runs it without reading anything back.
type Layer struct {
	host *Host
	bank *bank
}

// Forward records the layer's experts into p: y[i, j, :] is expert ids[i, j] of row i. x [n, hidden] is the normed residual
// stream, ids [n, k] are expert numbers, y [n, k, hidden] comes out unweighted. All are buffers of the host's device.
func (l *Layer) Forward(p gpu.Pass, y, x, ids gpu.Buffer, n, k int) error {
	scratch, err := l.host.forward.inner(l.host.dev, n*k*l.host.moe.Intermediate)
	if err != nil {
		return err
	}
	l.bank.record(p, y, x, ids, scratch, n, k, l.host.activation)
	return nil
}

// shared is scratch that all layers record into their passes. Passes run one after another, in the order of their
// submission, and none leaves anything in it for a later one.
type shared struct {
	mu   sync.Mutex
	bufs inner
	size int
	// outgrown buffers may be part of passes that are recorded but not yet submitted, so they live until the host closes.
	// Sizes double, so together they are no larger than the current ones.
	outgrown []inner
}

func (s *shared) inner(dev gpu.Device, n int) (inner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n <= s.size {
		return s.bufs, nil
	}
	n = max(n, 2*s.size)
	fresh, err := newInner(dev, n)
	if err != nil {
		return inner{}, err
	}
	if s.size > 0 {
		s.outgrown = append(s.outgrown, s.bufs)
	}
	s.bufs, s.size = fresh, n
	return s.bufs, nil
}

func (s *shared) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range append(s.outgrown, s.bufs) {
		in.free()
	}
	s.bufs, s.size, s.outgrown = inner{}, 0, nil
}
