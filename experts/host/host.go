// Package host holds experts of one model on a device and runs them.
//
// A [Host] keeps each layer's experts in a bank of stacked matrices, loaded from the artifact and verified by hash on the way.
// [Host.Run] serves batches from anywhere and makes it an experts.Runner; [Host.Layer] is the way for a trunk on the same
// device, where neither rows nor expert numbers leave it. [Choose] picks the experts of a node that joins a swarm.
//
// The package does not choose experts for tokens, opens no connection, and runs no batch in part: an expert that is not held
// is an error.
package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"shoal/experts"
	"shoal/gpu"
	"shoal/rdrr"
)

// Host holds experts of one model. Its methods are safe for concurrent use.
type Host struct {
	dev         gpu.Device
	model       *rdrr.Model
	moe         rdrr.MoE
	activation  gpu.Activation
	expertBytes int64

	loading sync.Mutex // one Load at a time; taken before mu

	// mu is held for reading while a batch uses the banks, so that none is freed under it.
	mu     sync.RWMutex
	banks  map[int]*bank
	budget int64
	closed bool

	scratches chan *scratch  // for Run; bounds how many batches are on the device at once
	forward   forwardScratch // for Layer.Forward
}

var _ experts.Runner = (*Host)(nil)

// New returns a host without experts. It does not own dev and m, which must stay open until Close.
func New(dev gpu.Device, m *rdrr.Model) (*Host, error) {
	moe := m.MoE()
	if moe == nil {
		return nil, fmt.Errorf("model %s has no routed experts to hold", m.Digest().Short())
	}
	activation, err := parseActivation(moe.Activation)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Digest().Short(), err)
	}
	h := &Host{dev: dev, model: m, moe: *moe, activation: activation, banks: map[int]*bank{}, scratches: make(chan *scratch, 2)}
	for _, layer := range moe.Layers {
		h.expertBytes = max(h.expertBytes, storedBytes(m.Manifest(), layer))
	}
	for range cap(h.scratches) {
		h.scratches <- &scratch{dev: dev}
	}
	return h, nil
}

func parseActivation(name string) (gpu.Activation, error) {
	switch name {
	case "silu":
		return gpu.SiLU, nil
	case "gelu_tanh":
		return gpu.GELUTanh, nil
	case "swiglu_oai":
		return gpu.SwiGLUOAI, nil
	}
	return 0, fmt.Errorf("experts with the activation %q cannot be run: want silu, gelu_tanh or swiglu_oai", name)
}

// storedBytes is what one expert of a layer takes in the artifact.
func storedBytes(m *rdrr.Manifest, layer int) int64 {
	n := int64(0)
	for _, part := range []rdrr.ExpertPart{rdrr.GateWeight, rdrr.UpWeight, rdrr.DownWeight, rdrr.GateBias, rdrr.UpBias, rdrr.DownBias} {
		if t, ok := m.Tensor(rdrr.ExpertTensor(layer, 0, part)); ok {
			n += t.Size()
		}
	}
	return n
}

// Model is the digest of the model whose experts are held.
func (h *Host) Model() rdrr.Digest { return h.model.Digest() }

// MoE describes the model's experts.
func (h *Host) MoE() rdrr.MoE { return h.moe }

// ExpertBytes is what one expert takes, in bytes, known before any is loaded. In a model whose layers differ it is the
// largest.
func (h *Host) ExpertBytes() int64 { return h.expertBytes }

// SetBudget bounds the memory for experts, in bytes; 0 is no bound. It affects later loads only.
func (h *Host) SetBudget(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.budget = bytes
}

// Bytes is the device memory that the held experts take.
func (h *Host) Bytes() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := int64(0)
	for _, b := range h.banks {
		n += b.bytes()
	}
	return n
}

// Load reads, verifies and keeps experts of a layer, beside those it holds already. It does all or nothing. Until it is
// done, the layer's experts held before stay in use, and in memory beside the new ones: load each layer once.
func (h *Host) Load(ctx context.Context, layer int, list []int) error {
	if !slices.Contains(h.moe.Layers, layer) {
		return fmt.Errorf("layer %d has no routed experts; layers %s have", layer, experts.FormatRanges(h.moe.Layers))
	}
	for _, e := range list {
		if e < 0 || e >= h.moe.Experts {
			return fmt.Errorf("layer %d has no expert %d; it has experts 0-%d", layer, e, h.moe.Experts-1)
		}
	}
	h.loading.Lock()
	defer h.loading.Unlock()

	wanted, err := h.wanted(layer, list)
	if err != nil || wanted == nil {
		return err
	}
	fresh, err := loadBank(ctx, h.dev, h.model, h.moe, layer, wanted)
	if err != nil {
		return fmt.Errorf("layer %d: %w", layer, err)
	}

	h.mu.Lock() // waits for the batches that use the old bank
	defer h.mu.Unlock()
	if h.closed {
		fresh.free()
		return errClosed
	}
	if old := h.banks[layer]; old != nil {
		old.free()
	}
	h.banks[layer] = fresh
	return nil
}

// wanted is all that the layer's bank is to hold, ascending; nil if nothing is to be added.
func (h *Host) wanted(layer int, list []int) ([]int, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.closed {
		return nil, errClosed
	}
	var set experts.Set
	held, others := 0, 0
	for l, b := range h.banks {
		if l != layer {
			others += len(b.experts)
			continue
		}
		held = len(b.experts)
		for _, e := range b.experts {
			set = set.With(e)
		}
	}
	for _, e := range list {
		set = set.With(e)
	}
	if set.Len() == held {
		return nil, nil
	}
	if need := int64(others+set.Len()) * h.expertBytes; h.budget > 0 && need > h.budget {
		return nil, fmt.Errorf("layer %d: %d experts more would take %.1f MB of the budget of %.1f MB; it has room for %d in all",
			layer, set.Len()-held, float64(need)/1e6, float64(h.budget)/1e6, h.budget/h.expertBytes)
	}
	return set.Experts(), nil
}

// Holdings says which experts are held.
func (h *Host) Holdings() experts.Holdings {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := experts.Holdings{}
	for layer, b := range h.banks {
		out[layer] = experts.SetOf(b.experts...)
	}
	return out
}

// Layer returns a layer for a trunk on the same device; ok only if every expert of the layer is held.
func (h *Host) Layer(layer int) (l *Layer, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	b := h.banks[layer]
	if b == nil || len(b.experts) != h.moe.Experts {
		return nil, false
	}
	return &Layer{host: h, bank: b}, true
}

// Close frees the experts. It waits for batches that are being run; layers given out by Layer must no longer be used.
func (h *Host) Close() {
	if !h.freeBanks() {
		return
	}
	// A batch takes its scratch before it looks at the banks, so this must not hold mu.
	for range cap(h.scratches) {
		(<-h.scratches).free()
	}
	close(h.scratches)
	h.forward.free()
}

func (h *Host) freeBanks() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.closed = true
	for b := range maps.Values(h.banks) {
		b.free()
	}
	clear(h.banks)
	return true
}
