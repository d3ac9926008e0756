package host

import (
	"sync"

	"shoal/gpu"
	"shoal/rdrr"
)

// Layer is a layer whose experts are all held. A trunk on the same device runs it without reading anything back.
type Layer struct {
	host *Host
	bank *bank
}

// Forward records the layer's experts into p: y[i, j, :] is expert ids[i, j] of row i. x [n, hidden] is the normed residual
// stream, ids [n, k] are expert numbers, y [n, k, hidden] comes out unweighted. All are buffers of the host's device.
func (l *Layer) Forward(p gpu.Pass, y, x, ids gpu.Buffer, n, k int) error {
	in, err := l.host.forward.inner(l.host.dev, y, l.host.moe)
	if err != nil {
		return err
	}
	l.bank.record(p, y, x, ids, in, n, k, l.host.activation)
	return nil
}

// ForwardAdd records Forward and the weighted sum of its outputs: sum[i, :] += sum over j of weights[i, j] * expert ids[i, j] of row
// i. sum [n, hidden], weights [n, k]; what y [n, k, hidden] holds afterwards is undefined.
func (l *Layer) ForwardAdd(p gpu.Pass, sum, y, x, ids, weights gpu.Buffer, n, k int) error {
	in, err := l.host.forward.inner(l.host.dev, y, l.host.moe)
	if err != nil {
		return err
	}
	l.bank.recordAdd(p, sum, y, x, ids, weights, in, n, k, l.host.activation)
	return nil
}

// Working is the device memory that a trunk's steps of that many rows take in the host, beside the experts.
func (h *Host) Working(rows int) int64 {
	return 3 * 4 * int64(rows) * int64(h.moe.TopK) * int64(h.moe.Intermediate)
}

// forwardScratch is scratch for trunks on the host's device, one for each of their output buffers: passes that may run at the
// same time write to different outputs, so they must not share scratch either, and the layers of one pass may.
type forwardScratch struct {
	mu       sync.Mutex
	byOutput map[gpu.Buffer]inner
}

// inner returns scratch for as many rows as y [.., hidden] has.
func (f *forwardScratch) inner(dev gpu.Device, y gpu.Buffer, moe rdrr.MoE) (inner, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if in, ok := f.byOutput[y]; ok {
		return in, nil
	}
	in, err := newInner(dev, max(y.Len()/moe.Hidden, 1)*moe.Intermediate)
	if err != nil {
		return inner{}, err
	}
	if f.byOutput == nil {
		f.byOutput = map[gpu.Buffer]inner{}
	}
	f.byOutput[y] = in
	return in, nil
}

func (f *forwardScratch) free() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, in := range f.byOutput {
		in.free()
	}
	f.byOutput = nil
}
