package router

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/experts"
)

// four rows of width 2; row 2 has no slots.
var pieceBatch = experts.Batch{
	Layer: 3, Hidden: 2, X: []float32{0, 1, 10, 11, 20, 21, 30, 31},
	Slots: []experts.Slot{{Row: 0, Expert: 5, Weight: 1}, {Row: 0, Expert: 2, Weight: 2}, {Row: 1, Expert: 2, Weight: 3}, {Row: 3, Expert: 7, Weight: 4}, {Row: 3, Expert: 5, Weight: 5}, {Row: 3, Expert: 2, Weight: 6}},
}

func TestExtract(t *testing.T) {
	sub, rows := extract(pieceBatch, []int{1, 4, 5})
	want := experts.Batch{Layer: 3, Hidden: 2, X: []float32{0, 1, 30, 31},
		Slots: []experts.Slot{{Row: 0, Expert: 2, Weight: 2}, {Row: 1, Expert: 5, Weight: 5}, {Row: 1, Expert: 2, Weight: 6}}}
	if diff := cmp.Diff(want, sub); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !slices.Equal(rows, []int{0, 3}) {
		t.Errorf("rows %v", rows)
	}
	if err := sub.Validate(); err != nil {
		t.Error(err)
	}
}

func TestAssembleRows(t *testing.T) {
	got := assemble(pieceBatch, []piece{
		{slots: []int{1, 4}, y: []float32{1, 1.5, 4, 4.5}},
		{slots: []int{0, 2, 3, 5}, y: []float32{0, .5, 2, 2.5, 3, 3.5, 5, 5.5}},
	})
	if want := []float32{0, .5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Sums are added in the order of each row's slots: the order of the pieces must not show, nor the other rows.
func TestAssembleSums(t *testing.T) {
	b := pieceBatch
	b.Sum = true
	big, tiny := float32(1<<24), float32(1)
	pieces := []piece{
		{slots: []int{0, 4}, rows: []int{0, 3}, y: []float32{1, 2, tiny, tiny}},
		{slots: []int{1, 2, 5}, rows: []int{0, 1, 3}, y: []float32{10, 20, 30, 40, -big, -big}},
		{slots: []int{3}, rows: []int{3}, y: []float32{big, big}},
	}
	// Row 3 is (big + tiny) - big, which rounds to 0; tiny + (big - big) would be 1.
	want := []float32{11, 22, 30, 40, 0, 0, 0, 0}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		rng.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		if got := assemble(b, pieces); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestHalves(t *testing.T) {
	for _, tt := range []struct {
		slots, first, second []int
	}{
		{[]int{0, 1, 2, 3, 4, 5}, []int{0, 1, 2}, []int{3, 4, 5}},
		{[]int{0, 1, 2}, []int{0, 1}, []int{2}},
		{[]int{2, 3, 4, 5}, []int{2}, []int{3, 4, 5}},
		{[]int{3, 4, 5}, nil, nil},
		{[]int{3}, nil, nil},
	} {
		first, second, ok := halves(pieceBatch, tt.slots)
		if !slices.Equal(first, tt.first) || !slices.Equal(second, tt.second) || ok != (tt.first != nil) {
			t.Errorf("%v: %v, %v, %v", tt.slots, first, second, ok)
		}
	}
}
