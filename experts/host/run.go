package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"shoal/experts"
	"shoal/gpu"
)

// Bounds of a batch. Larger ones are refused with experts.ErrTooLarge before anything is allocated.
const (
	MaxReplyValues = 1 << 26 // values in the reply: 256 MiB
	MaxRowSlots    = 1024    // slots of one row
)

// scratchValues bounds what one part of a batch takes of device memory, in values: 64 MiB. Larger batches are run in parts.
const scratchValues = 1 << 24

var errClosed = fmt.Errorf("%w: the host is closed", experts.ErrGone)

// Run computes a batch. Errors wrap experts.ErrWrongModel, ErrTooLarge, ErrBadRequest or ErrNotHeld if the batch cannot be
// run here, ErrInternal if the device fails. A slot's bits do not depend on what it is batched with.
func (h *Host) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if err := h.check(b); err != nil {
		return nil, err
	}
	s, err := h.takeScratch(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { h.scratches <- s }()

	h.mu.RLock()
	defer h.mu.RUnlock()
	bank, err := h.bankFor(b)
	if err != nil {
		return nil, err
	}
	out := make([]float32, b.ReplyRows()*b.Hidden)
	for p := range parts(b, scratchValues/(3*h.moe.Intermediate+h.moe.Hidden)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := h.runPart(s, bank, b, p, out); err != nil {
			return nil, fmt.Errorf("%w: layer %d: %w", experts.ErrInternal, b.Layer, err)
		}
	}
	return out, ctx.Err()
}

// check reports what is wrong with a batch before any of it is used.
func (h *Host) check(b experts.Batch) error {
	if b.Model != h.model.Digest() {
		return fmt.Errorf("%w: asked for model %s, this is %s", experts.ErrWrongModel, b.Model, h.model.Digest())
	}
	if b.Hidden != h.moe.Hidden {
		return fmt.Errorf("%w: layer %d: rows of %d, the model's hidden size is %d", experts.ErrBadRequest, b.Layer, b.Hidden, h.moe.Hidden)
	}
	if max := MaxReplyValues / b.Hidden; b.ReplyRows() > max || b.Rows() > max {
		return fmt.Errorf("%w: layer %d: %d rows in, %d out, at most %d of this width", experts.ErrTooLarge, b.Layer, b.Rows(), b.ReplyRows(), max)
	}
	if err := b.Validate(); err != nil {
		return fmt.Errorf("%w: %w", experts.ErrBadRequest, err)
	}
	run := 0
	for i, s := range b.Slots {
		if i > 0 && s.Row != b.Slots[i-1].Row {
			run = 0
		}
		if run++; run > MaxRowSlots {
			return fmt.Errorf("%w: layer %d: row %d has more than %d slots", experts.ErrTooLarge, b.Layer, s.Row, MaxRowSlots)
		}
	}
	return nil
}

// bankFor returns the bank that holds every expert of the batch. The caller holds mu.
func (h *Host) bankFor(b experts.Batch) (*bank, error) {
	if h.closed {
		return nil, errClosed
	}
	found := h.banks[b.Layer]
	for _, s := range b.Slots {
		if found != nil {
			if _, ok := found.slot[s.Expert]; ok {
				continue
			}
		}
		held := "nothing"
		if found != nil {
			held = "experts " + experts.FormatRanges(found.experts)
		}
		return nil, fmt.Errorf("%w: layer %d expert %d; of this layer %s is held here", experts.ErrNotHeld, b.Layer, s.Expert, held)
	}
	return found, nil
}

func (h *Host) takeScratch(ctx context.Context) (*scratch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s, ok := <-h.scratches:
		if !ok {
			return nil, errClosed
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// part is a piece of a batch: whole rows with all their slots.
type part struct {
	rows  []int // rows of the batch, ascending; those without slots are left out
	first int   // the first slot
	slots int   // how many slots from there on
	width int   // the most slots that one of the rows has
}

// parts cuts a batch into pieces of at most limit padded slots, or of a single row.
func parts(b experts.Batch, limit int) func(yield func(part) bool) {
	return func(yield func(part) bool) {
		p := part{}
		for i := 0; i < len(b.Slots); {
			end := i
			for end < len(b.Slots) && b.Slots[end].Row == b.Slots[i].Row {
				end++
			}
			if width := max(p.width, end-i); len(p.rows) > 0 && (len(p.rows)+1)*width > limit {
				if !yield(p) {
					return
				}
				p = part{first: i}
			}
			p.rows = append(p.rows, b.Slots[i].Row)
			p.slots += end - i
			p.width = max(p.width, end-i)
			i = end
		}
		if len(p.rows) > 0 {
			yield(p)
		}
	}
}

// runPart runs a part on the device and puts its rows where they belong in out.
func (h *Host) runPart(s *scratch, bank *bank, b experts.Batch, p part, out []float32) error {
	n, k, hidden := len(p.rows), p.width, b.Hidden
	if err := s.reserve(n, k, hidden, h.moe.Intermediate, b.Sum); err != nil {
		return err
	}
	ids, weights, padded := p.table(b, bank)
	err := errors.Join(h.dev.WriteFloats(s.x, 0, p.gather(b)), h.dev.WriteIDs(s.ids, 0, ids))
	if b.Sum {
		err = errors.Join(err, h.dev.WriteFloats(s.weights, 0, weights), h.dev.WriteFloats(s.sum, 0, make([]float32, n*hidden)))
	}
	if err != nil {
		return err
	}

	pass := h.dev.Begin()
	if b.Sum {
		// The sum starts at zero and padding adds zero, so a row's bits do not depend on the width of the widest row.
		bank.recordAdd(pass, s.sum, s.y, s.x, s.ids, s.weights, s.bufs, n, k, h.activation)
		sums := make([]float32, n*hidden)
		if err := pass.Submit(gpu.Readback{From: s.sum, Floats: sums}); err != nil {
			return err
		}
		for i, row := range p.rows {
			copy(out[row*hidden:][:hidden], sums[i*hidden:])
		}
		return nil
	}
	bank.record(pass, s.y, s.x, s.ids, s.bufs, n, k, h.activation)
	dst := out[p.first*hidden:][:p.slots*hidden]
	if padded == nil {
		return pass.Submit(gpu.Readback{From: s.y, Floats: dst})
	}
	y := make([]float32, n*k*hidden)
	if err := pass.Submit(gpu.Readback{From: s.y, Floats: y}); err != nil {
		return err
	}
	for i, at := range padded {
		copy(dst[i*hidden:][:hidden], y[at*hidden:])
	}
	return nil
}

// table lays the part's slots out as [rows, width]: the bank's slot numbers, padded with one that gives zeros, and the gate
// weights, padded with 0. padded says where in the table each slot is, nil if there is no padding.
func (p part) table(b experts.Batch, bank *bank) (ids []uint32, weights []float32, padded []int) {
	ids, weights = make([]uint32, len(p.rows)*p.width), make([]float32, len(p.rows)*p.width)
	for i := range ids {
		ids[i] = uint32(len(bank.experts))
	}
	slots := b.Slots[p.first:][:p.slots]
	if len(slots) < len(ids) {
		padded = make([]int, len(slots))
	}
	row, column := 0, 0
	for i, s := range slots {
		if i > 0 && s.Row != slots[i-1].Row {
			row, column = row+1, 0
		}
		at := row*p.width + column
		ids[at], weights[at] = uint32(bank.slot[s.Expert]), s.Weight
		if padded != nil {
			padded[i] = at
		}
		column++
	}
	return ids, weights, padded
}

// gather returns the part's rows of activations one after another.
func (p part) gather(b experts.Batch) []float32 {
	first, n := p.rows[0], len(p.rows)
	if p.rows[n-1]-first == n-1 {
		return b.X[first*b.Hidden:][:n*b.Hidden]
	}
	x := make([]float32, 0, n*b.Hidden)
	for _, row := range p.rows {
		x = append(x, b.X[row*b.Hidden:][:b.Hidden]...)
	}
	return slices.Clip(x)
}
