package experts

import (
	"math"
	"slices"
	"strings"
	"testing"

	"shoal/rdrr"
)

func TestBatchValidate(t *testing.T) {
	rows := func(n int) []float32 { return make([]float32, n*4) }
	tests := []struct {
		name  string
		batch Batch
		want  string // "" if valid
	}{
		{"no slots", Batch{Hidden: 4, X: rows(2)}, ""},
		{"in order", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{0, 3, .5}, {0, 1, .5}, {1, 3, 1}}}, ""},
		{"no hidden size", Batch{X: rows(1)}, "not rows of 0"},
		{"half a row", Batch{Hidden: 4, X: make([]float32, 6)}, "not rows of 4"},
		{"row out of range", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{2, 0, 1}}}, "row 2 of 2"},
		{"negative row", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{-1, 0, 1}}}, "row -1"},
		{"out of order", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{1, 0, 1}, {0, 0, 1}}}, "out of route order"},
		{"negative expert", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{0, -1, 1}}}, "expert -1"},
		{"weight NaN", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{0, 1, float32(math.NaN())}}}, "gate weight NaN"},
		{"weight infinite", Batch{Hidden: 4, X: rows(2), Slots: []Slot{{0, 1, float32(math.Inf(1))}}}, "gate weight +Inf"},
	}
	for _, tt := range tests {
		err := tt.batch.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSet(t *testing.T) {
	s := SetOf(3, 64, 0, 383)
	if got := s.Experts(); !slices.Equal(got, []int{0, 3, 64, 383}) || s.Len() != 4 {
		t.Errorf("experts %v, len %d", got, s.Len())
	}
	for e, want := range map[int]bool{-1: false, 0: true, 1: false, 64: true, 383: true, 384: false, 10000: false} {
		if s.Has(e) != want {
			t.Errorf("Has(%d) = %v", e, !want)
		}
	}
	h := Holdings{5: SetOf(1), 2: SetOf(0, 1), 3: nil}
	if got := h.Layers(); !slices.Equal(got, []int{2, 5}) || h.Count() != 3 {
		t.Errorf("layers %v, count %d", got, h.Count())
	}
}

func TestUncovered(t *testing.T) {
	moe := rdrr.MoE{Layers: []int{1, 4}, Experts: 3}
	holders := []Holder{{Holds: Holdings{1: SetOf(0, 2), 2: SetOf(1)}}, {Holds: Holdings{1: SetOf(1), 4: SetOf(2)}}}
	missing := Uncovered(moe, holders)
	if got := missing.Layers(); !slices.Equal(got, []int{4}) || !slices.Equal(missing[4].Experts(), []int{0, 1}) {
		t.Errorf("uncovered %v, want experts 0 and 1 of layer 4", missing)
	}
	if n := Uncovered(moe, nil).Count(); n != 6 {
		t.Errorf("%d experts uncovered without a holder, want all 6", n)
	}
}
