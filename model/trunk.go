package model

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"shoal/gpu"
	"shoal/rdrr"
)

// Options are settings of a [Trunk]. The zero value works.
type Options struct {
	// Rows is the most tokens that one step may have; longer prompts are fed in several steps. 0 means 512.
	Rows int
}

const (
	defaultRows = 512
	maxRows     = 1 << 14
)

// Trunk is everything of a model but its routed experts, on a device. It is safe for concurrent use by several sequences.
type Trunk struct {
	dev  gpu.Device
	spec *Spec
	rows int

	embedding gpu.Matrix // [vocab, hidden]
	layers    []layerWeights
	final     norm
	head      linear
	turns     [][]float64 // frequencies of each of spec.Ropes

	free func()

	mu   sync.Mutex
	pool []*scratch // not in use
}

// Load puts the trunk of an artifact on a device. Devices that read host memory may keep reading the artifact's own bytes, so
// the model must stay open as long as the trunk.
func Load(dev gpu.Device, m *rdrr.Model, o Options) (*Trunk, error) {
	if o.Rows == 0 {
		o.Rows = defaultRows
	}
	if o.Rows < 1 || o.Rows > maxRows {
		return nil, fmt.Errorf("rows per step: %d, want 1 to %d", o.Rows, maxRows)
	}
	spec, err := Parse(m.Config())
	if err != nil {
		return nil, err
	}
	if err := afford(dev, trunkBytes(spec, m), "the model's weights without its experts"); err != nil {
		return nil, err
	}
	t := &Trunk{dev: dev, spec: spec, rows: min(o.Rows, spec.MaxPositions)}
	ld := &loader{dev: dev, model: m}
	t.free = func() {
		for _, release := range ld.freed {
			release()
		}
	}
	t.load(ld)
	if ld.err != nil {
		t.free()
		return nil, fmt.Errorf("load %s: %w", spec.Family, ld.err)
	}
	return t, nil
}

func (t *Trunk) load(ld *loader) {
	s := t.spec
	t.embedding = ld.matrix(embedName, s.Vocab, s.Hidden)
	for l := range s.Layers {
		t.layers = append(t.layers, t.loadLayer(ld, l))
	}
	t.final = ld.norm(finalName, s.FinalNorm, s.Hidden)
	if s.TiedHead {
		t.head.w = t.embedding
	} else {
		t.head.w = ld.matrix(headName+".weight", s.Vocab, s.Hidden)
	}
	if s.HeadBias {
		t.head.bias = ld.vector(headName+".bias", s.Vocab, 0)
	}
	for _, r := range s.Ropes {
		t.turns = append(t.turns, r.Frequencies())
	}
}

// trunkBytes is the device memory that the trunk's tensors take; the few that the artifact lacks are left for load to name.
func trunkBytes(s *Spec, m *rdrr.Model) int64 {
	n := int64(0)
	for _, t := range s.Tensors() {
		entry, ok := m.Manifest().Tensor(t.Name)
		if !ok || t.Expert >= 0 {
			continue
		}
		cols := t.Shape[len(t.Shape)-1]
		rows := elements(t) / int64(cols)
		if t.Layer >= 0 && strings.HasSuffix(t.Name, "kv_b_proj.weight") { // a part of it is held in another format
			a := s.Layers[t.Layer].MLA
			n += int64(a.Heads*a.KVRank) * int64(absorbFormat(entry.Type).RowBytes(a.NopeDim))
			rows = int64(a.Heads * a.ValueDim)
		}
		n += rows * int64(entry.Type.RowBytes(cols))
	}
	return n
}

// afford tells whether a device that knows its memory has room for that many bytes more.
func afford(dev gpu.Device, bytes int64, what string) error {
	info := dev.Info()
	if left := info.Memory - dev.Allocated(); info.Memory > 0 && bytes > left {
		return fmt.Errorf("%s: %w: %.1f MiB needed, %.1f MiB left of %.1f MiB on %s", what, ErrMemory,
			mib(bytes), mib(left), mib(info.Memory), info.Name)
	}
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// Errors that a caller branches on.
var (
	// ErrMemory: the device has no room. Fewer positions, or fewer experts on the same device, may fit.
	ErrMemory = errors.New("not enough device memory")
	// ErrContext: the sequence has no room for more tokens.
	ErrContext = errors.New("context is full")
)

// Spec describes the model.
func (t *Trunk) Spec() *Spec { return t.spec }

// Rows is the most tokens that one step may have.
func (t *Trunk) Rows() int { return t.rows }

// Close frees the weights. Sequences must be closed before.
func (t *Trunk) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.pool {
		b.free()
	}
	t.pool = nil
	t.free()
	t.free = func() {}
}
