package runnertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"shoal/experts"
	"shoal/rdrr"
)

// Subject is a Runner under test.
type Subject struct {
	Runner experts.Runner
	// Reference has the weights of the same model, and in Holds what Runner holds: at least one layer with two experts.
	Reference *Reference
	// Tolerance bounds the normalised mean square error against the reference, 0 for 1e-10: float32 sums over a few hundred
	// terms stay below it by orders of magnitude. A wire format with rounded activations needs more.
	Tolerance float64
}

// Run holds a Runner to the contract of [experts.Runner].
func Run(t *testing.T, s Subject) {
	t.Helper()
	if s.Tolerance == 0 {
		s.Tolerance = 1e-10
	}
	t.Run("values", s.values)
	t.Run("row independence", s.rowIndependence)
	t.Run("nothing to do", s.nothingToDo)
	t.Run("input and reply are the caller's", s.ownership)
	t.Run("not held", s.notHeld)
	t.Run("wrong model", s.wrongModel)
	t.Run("bad requests", s.badRequests)
	t.Run("cancelled", s.cancelled)
	t.Run("concurrent", s.concurrent)
}

// values compares rows and sums with the reference, on batches of many shapes.
func (s Subject) values(t *testing.T) {
	for _, layer := range s.Reference.Holds.Layers() {
		held := s.Reference.Holds[layer].Experts()
		last := held[len(held)-1]
		batches := map[string]experts.Batch{
			"one row, one slot":        s.batch(layer, 1, []experts.Slot{{Row: 0, Expert: last, Weight: 1}}),
			"one row, weight 0":        s.batch(layer, 2, []experts.Slot{{Row: 0, Expert: last, Weight: 0}}),
			"one row, all experts":     s.batch(layer, 3, s.slots(layer, 1, len(held))),
			"rows, some without slots": s.batch(layer, 4, []experts.Slot{{Row: 1, Expert: held[0], Weight: .25}, {Row: 1, Expert: last, Weight: .5}, {Row: 4, Expert: last, Weight: -2}}, 6),
			"three rows, two each":     s.batch(layer, 5, s.slots(layer, 3, 2)),
			"many rows, two each":      s.batch(layer, 6, s.slots(layer, 67, 2)),
			"one expert twice in a row": s.batch(layer, 7, []experts.Slot{
				{Row: 0, Expert: held[0], Weight: .5}, {Row: 0, Expert: last, Weight: .25}, {Row: 0, Expert: held[0], Weight: .125}}),
		}
		for name, b := range batches {
			for _, sum := range []bool{false, true} {
				b.Sum = sum
				t.Run(fmt.Sprintf("layer %d/%s/sum=%v", layer, name, sum), func(t *testing.T) {
					want, err := s.Reference.Run(t.Context(), b)
					if err != nil {
						t.Fatal("reference: ", err)
					}
					got := s.run(t, b)
					if nmse := NMSE(got, want); !(nmse <= s.Tolerance) {
						t.Errorf("normalised mean square error %g, want at most %g", nmse, s.Tolerance)
					}
					for i := range b.ReplyRows() {
						if nmse := NMSE(row(b, got, i), row(b, want, i)); !(nmse <= 100*s.Tolerance) {
							t.Errorf("reply row %d: normalised mean square error %g", i, nmse)
						}
					}
				})
			}
		}
	}
}

// rowIndependence wants the same bits for a row, or a slot, whatever it is batched with.
func (s Subject) rowIndependence(t *testing.T) {
	layer := s.Reference.Holds.Layers()[0]
	b := s.batch(layer, 11, s.slots(layer, 9, 2), 9)
	// Rows with fewer slots than the widest one.
	b.Slots = slices.DeleteFunc(b.Slots, func(s experts.Slot) bool { return s.Row == 4 })
	b.Slots = slices.Delete(b.Slots, 2, 3)
	rows := s.run(t, b)
	b.Sum = true
	sums := s.run(t, b)
	for i, slot := range b.Slots {
		alone := experts.Batch{Model: b.Model, Layer: layer, Hidden: b.Hidden, X: row(b, b.X, slot.Row),
			Slots: []experts.Slot{{Row: 0, Expert: slot.Expert, Weight: slot.Weight}}}
		if got := s.run(t, alone); !sameBits(got, row(b, rows, i)) {
			t.Errorf("slot %d (row %d, expert %d) has other bits alone than in a batch", i, slot.Row, slot.Expert)
		}
	}
	for r := range b.Rows() {
		alone := experts.Batch{Model: b.Model, Layer: layer, Hidden: b.Hidden, X: row(b, b.X, r), Sum: true}
		for _, slot := range b.Slots {
			if slot.Row == r {
				alone.Slots = append(alone.Slots, experts.Slot{Row: 0, Expert: slot.Expert, Weight: slot.Weight})
			}
		}
		if got := s.run(t, alone); !sameBits(got, row(b, sums, r)) {
			t.Errorf("the sum of row %d has other bits alone than in a batch", r)
		}
	}
}

// nothingToDo sends batches without slots.
func (s Subject) nothingToDo(t *testing.T) {
	b := s.batch(s.Reference.Holds.Layers()[0], 12, nil, 2)
	s.run(t, b)
	b.Sum = true
	for i, v := range s.run(t, b) {
		if v != 0 {
			t.Fatalf("the sum over no slots has %v at %d", v, i)
		}
	}
}

// ownership wants the input untouched and a reply that nobody else writes to.
func (s Subject) ownership(t *testing.T) {
	layer := s.Reference.Holds.Layers()[0]
	b := s.batch(layer, 13, s.slots(layer, 2, 2))
	x, slots := slices.Clone(b.X), slices.Clone(b.Slots)
	first := s.run(t, b)
	if !slices.Equal(b.X, x) || !slices.Equal(b.Slots, slots) {
		t.Error("the batch was changed")
	}
	kept := slices.Clone(first)
	other := s.batch(layer, 14, b.Slots)
	s.run(t, other)
	if !sameBits(first, kept) {
		t.Error("a later call changed an earlier reply")
	}
	clear(first)
	if !sameBits(s.run(t, b), kept) {
		t.Error("the same batch gave other bits after the caller wrote into the first reply")
	}
}

func (s Subject) notHeld(t *testing.T) {
	layers := s.Reference.Holds.Layers()
	held := s.Reference.Holds[layers[0]].Experts()
	tests := []struct{ layer, expert int }{
		{layers[0], s.Reference.MoE.Experts},
		{layers[0], 1<<31 - 1},
		{layers[len(layers)-1] + 1, held[0]},
	}
	for e := range s.Reference.MoE.Experts {
		if !s.Reference.Holds[layers[0]].Has(e) {
			tests = append(tests, struct{ layer, expert int }{layers[0], e})
			break
		}
	}
	for _, tt := range tests {
		// The held expert in front must not lead to part of an answer.
		b := s.batch(tt.layer, 15, []experts.Slot{{Row: 0, Expert: held[0], Weight: 1}, {Row: 0, Expert: tt.expert, Weight: 1}})
		y, err := s.Runner.Run(t.Context(), b)
		if !errors.Is(err, experts.ErrNotHeld) || y != nil {
			t.Errorf("layer %d expert %d: got %d values, error %v; want experts.ErrNotHeld alone", tt.layer, tt.expert, len(y), err)
		} else if !strings.Contains(err.Error(), strconv.Itoa(tt.expert)) || !strings.Contains(err.Error(), strconv.Itoa(tt.layer)) {
			t.Errorf("layer %d expert %d: the error does not name them: %v", tt.layer, tt.expert, err)
		}
	}
}

func (s Subject) wrongModel(t *testing.T) {
	layer := s.Reference.Holds.Layers()[0]
	b := s.batch(layer, 16, s.slots(layer, 1, 1))
	b.Model = rdrr.Digest{0xbb, 1, 2, 3}
	y, err := s.Runner.Run(t.Context(), b)
	if !errors.Is(err, experts.ErrWrongModel) || y != nil {
		t.Errorf("got %d values, error %v; want experts.ErrWrongModel", len(y), err)
	}
}

func (s Subject) badRequests(t *testing.T) {
	layer := s.Reference.Holds.Layers()[0]
	e := s.Reference.Holds[layer].Experts()[0]
	for name, change := range map[string]func(*experts.Batch){
		"another hidden size": func(b *experts.Batch) { b.Hidden /= 2 },
		"part of a row":       func(b *experts.Batch) { b.X = b.X[:len(b.X)-1] },
		"a row that is not there": func(b *experts.Batch) {
			b.Slots = []experts.Slot{{Row: b.Rows(), Expert: e, Weight: 1}}
		},
		"slots out of order": func(b *experts.Batch) { slices.Reverse(b.Slots) },
		"an infinite weight": func(b *experts.Batch) { b.Slots[0].Weight = float32(math.Inf(1)) },
	} {
		b := s.batch(layer, 17, s.slots(layer, 2, 1))
		change(&b)
		if y, err := s.Runner.Run(t.Context(), b); !errors.Is(err, experts.ErrBadRequest) || y != nil {
			t.Errorf("%s: got %d values, error %v; want experts.ErrBadRequest", name, len(y), err)
		}
	}
}

func (s Subject) cancelled(t *testing.T) {
	layer := s.Reference.Holds.Layers()[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Runner.Run(ctx, s.batch(layer, 18, s.slots(layer, 3, 2))); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v, want context.Canceled", err)
	}
}

// concurrent runs different batches at the same time and wants the bits they have one after another.
func (s Subject) concurrent(t *testing.T) {
	layers := s.Reference.Holds.Layers()
	const calls = 12
	batches := make([]experts.Batch, calls)
	want := make([][]float32, calls)
	for i := range batches {
		layer := layers[i%len(layers)]
		batches[i] = s.batch(layer, uint64(20+i), s.slots(layer, 1+i, 2))
		batches[i].Sum = i%3 == 0
		want[i] = s.run(t, batches[i])
	}
	var wg sync.WaitGroup
	for i, b := range batches {
		wg.Go(func() {
			for range 4 {
				got, err := s.Runner.Run(t.Context(), b)
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
				if !sameBits(got, want[i]) {
					t.Errorf("call %d gave other bits than alone", i)
				}
			}
		})
	}
	wg.Wait()
}

// run runs b and checks the reply's shape and values.
func (s Subject) run(t *testing.T, b experts.Batch) []float32 {
	t.Helper()
	y, err := s.Runner.Run(t.Context(), b)
	if err != nil {
		t.Fatalf("layer %d, %d rows, %d slots: %v", b.Layer, b.Rows(), len(b.Slots), err)
	}
	if len(y) != b.ReplyRows()*b.Hidden {
		t.Fatalf("reply of %d values, want %d rows of %d", len(y), b.ReplyRows(), b.Hidden)
	}
	for i, v := range y {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("reply has %v at %d", v, i)
		}
	}
	return y
}

// batch returns random rows for slots: as many as given, or as the slots name.
func (s Subject) batch(layer int, seed uint64, slots []experts.Slot, rows ...int) experts.Batch {
	n := 1
	if len(slots) > 0 {
		n = slots[len(slots)-1].Row + 1
	}
	if len(rows) > 0 {
		n = rows[0]
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n*s.Reference.MoE.Hidden)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return experts.Batch{Model: s.Reference.Digest, Layer: layer, Hidden: s.Reference.MoE.Hidden, X: x, Slots: slots}
}

// slots gives each of rows rows k of the layer's held experts, another choice and order for every row.
func (s Subject) slots(layer, rows, k int) []experts.Slot {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(k)))
	held := s.Reference.Holds[layer].Experts()
	var out []experts.Slot
	for r := range rows {
		for _, i := range rng.Perm(len(held))[:min(k, len(held))] {
			out = append(out, experts.Slot{Row: r, Expert: held[i], Weight: rng.Float32()})
		}
	}
	return out
}

// row is row i of values, which has rows of b's hidden size.
func row(b experts.Batch, values []float32, i int) []float32 { return values[i*b.Hidden:][:b.Hidden] }

// NMSE is sum((got-want)^2) / sum(want^2); 0 if both are all zero.
func NMSE(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var err, ref float64
	for i := range got {
		d := float64(got[i]) - float64(want[i])
		err += d * d
		ref += float64(want[i]) * float64(want[i])
	}
	if err == 0 {
		return 0
	}
	return err / ref
}

// sameBits reports whether a and b are equal bit for bit; 0 and -0 differ.
func sameBits(a, b []float32) bool { return bytes.Equal(bits(a), bits(b)) }

func bits(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, f := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(f))
	}
	return out
}
