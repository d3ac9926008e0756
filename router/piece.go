package router

import "shoal/experts"

// piece is part of the answer to a batch: slots that one holder ran.
type piece struct {
	slots []int     // indices into the batch's slots, ascending
	rows  []int     // the rows they belong to, ascending
	y     []float32 // as the batch asks: a row for each slot, or a sum for each of rows
}

func allSlots(b experts.Batch) []int {
	out := make([]int, len(b.Slots))
	for i := range out {
		out[i] = i
	}
	return out
}

// extract makes the batch for some slots: only the rows they need, copied, because a holder that lost a race may still be
// reading them when the answer is out.
func extract(b experts.Batch, slots []int) (sub experts.Batch, rows []int) {
	sub = experts.Batch{Model: b.Model, Layer: b.Layer, Hidden: b.Hidden, Sum: b.Sum, Slots: make([]experts.Slot, len(slots))}
	for i, at := range slots {
		s := b.Slots[at]
		if len(rows) == 0 || rows[len(rows)-1] != s.Row {
			rows = append(rows, s.Row)
		}
		sub.Slots[i] = experts.Slot{Row: len(rows) - 1, Expert: s.Expert, Weight: s.Weight}
	}
	sub.X = make([]float32, 0, len(rows)*b.Hidden)
	for _, r := range rows {
		sub.X = append(sub.X, b.X[r*b.Hidden:][:b.Hidden]...)
	}
	return sub, rows
}

// assemble puts pieces that cover all slots together. Rows go to their slots' places. A row's sums are added in the order of
// their first slots in that row, so that neither which came first nor the other rows matter.
func assemble(b experts.Batch, pieces []piece) []float32 {
	out := make([]float32, b.ReplyRows()*b.Hidden)
	if !b.Sum {
		for _, p := range pieces {
			for i, at := range p.slots {
				copy(out[at*b.Hidden:][:b.Hidden], p.y[i*b.Hidden:])
			}
		}
		return out
	}
	owner := make([]int, len(b.Slots)) // the piece that a slot is in
	for i, p := range pieces {
		for _, at := range p.slots {
			owner[at] = i
		}
	}
	added := make([]int, len(pieces)) // how many of a piece's rows are in out
	for at, s := range b.Slots {
		p := pieces[owner[at]]
		i := added[owner[at]]
		if i == len(p.rows) || p.rows[i] != s.Row {
			continue // a further slot of a row whose sum is in
		}
		added[owner[at]]++
		dst := out[s.Row*b.Hidden:][:b.Hidden]
		for c, v := range p.y[i*b.Hidden:][:b.Hidden] {
			dst[c] += v
		}
	}
	return out
}

// halves cuts slots in two between rows. ok is false for the slots of a single row.
func halves(b experts.Batch, slots []int) (first, second []int, ok bool) {
	row := func(i int) int { return b.Slots[slots[i]].Row }
	for d := range len(slots)/2 + 1 {
		for _, cut := range []int{len(slots)/2 - d, len(slots)/2 + d} {
			if cut > 0 && cut < len(slots) && row(cut-1) != row(cut) {
				return slots[:cut], slots[cut:], true
			}
		}
	}
	return nil, nil, false
}
