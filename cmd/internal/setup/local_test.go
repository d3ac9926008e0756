package setup

import (
	"slices"
	"testing"
)

func TestOutermost(t *testing.T) {
	six := []int{1, 2, 3, 4, 5, 6} // layer 0 is dense
	for _, tt := range []struct {
		layers []int
		n      int64
		want   []int
	}{
		{six, 0, nil},
		{six, 1, []int{1}},
		{six, 2, []int{1, 6}},
		{six, 3, []int{1, 2, 6}},
		{six, 4, []int{1, 2, 5, 6}},
		{six, 5, []int{1, 2, 3, 5, 6}},
		{six, 6, six},
		{six, 1 << 40, six},
		{nil, 3, nil},
		{[]int{7}, 1, []int{7}},
	} {
		if got := outermost(tt.layers, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("%d of %v: %v, want %v", tt.n, tt.layers, got, tt.want)
		}
	}
}
