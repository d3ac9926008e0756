package host

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/experts"
)

// span is the set of experts from..to.
func span(from, to int) experts.Set {
	var s experts.Set
	for e := from; e <= to; e++ {
		s = s.With(e)
	}
	return s
}

func TestChoose(t *testing.T) {
	type holdings = experts.Holdings
	tests := []struct {
		name string
		p    Placement
		want holdings
	}{
		{
			"an empty swarm and memory for all: everything",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 100},
			holdings{0: span(0, 3), 1: span(0, 3)},
		},
		{
			"an empty swarm: whole layers from the first on, then part of the next",
			Placement{Layers: []int{1, 3, 5}, Experts: 4, Capacity: 10},
			holdings{1: span(0, 3), 3: span(0, 3), 5: span(0, 1)},
		},
		{
			"memory for nothing",
			Placement{Layers: []int{0}, Experts: 4, Capacity: 0},
			holdings{},
		},
		{
			"a negative budget holds nothing",
			Placement{Layers: []int{0}, Experts: 4, Capacity: -3},
			holdings{},
		},
		{
			"the layer nobody holds comes first",
			Placement{Layers: []int{0, 1, 2}, Experts: 4, Capacity: 4, Others: []holdings{{0: span(0, 3), 2: span(0, 3)}}},
			holdings{1: span(0, 3)},
		},
		{
			"a missing expert comes before a thinly replicated whole layer",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 4, Others: []holdings{
				{0: span(0, 2), 1: span(0, 3)}, {0: span(0, 2)}, {0: span(0, 2)},
			}},
			holdings{0: span(3, 3), 1: span(0, 2)},
		},
		{
			"the smaller of two gaps first, so that layers get complete",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 3, Others: []holdings{{0: span(0, 0), 1: span(0, 2)}}},
			holdings{0: span(1, 2), 1: span(3, 3)},
		},
		{
			"with the gaps filled and memory left, the layer is completed",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 4, Others: []holdings{{0: span(0, 2), 1: span(0, 3)}, {1: span(0, 3)}}},
			holdings{0: span(0, 3)},
		},
		{
			"less than a layer: the experts nobody holds",
			Placement{Layers: []int{0, 1}, Experts: 8, Capacity: 3, Others: []holdings{{0: span(0, 5), 1: span(0, 6)}}},
			holdings{0: span(6, 7), 1: span(7, 7)},
		},
		{
			"the rest after a whole layer goes to the rarest experts",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 6, Others: []holdings{{0: experts.SetOf(0, 2)}}},
			holdings{1: span(0, 3), 0: experts.SetOf(1, 3)},
		},
		{
			"only the experts asked for",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 100, Only: holdings{1: span(2, 3), 7: span(0, 1)}},
			holdings{1: span(2, 3)},
		},
		{
			"only the experts asked for, rarest first",
			Placement{Layers: []int{0, 1}, Experts: 4, Capacity: 2, Only: holdings{0: span(0, 1), 1: span(2, 3)}, Others: []holdings{{0: span(0, 3)}}},
			holdings{1: span(2, 3)},
		},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Choose(tt.p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Nodes that join one after another, each seeing what the others announced, must cover every expert before any is held twice.
func TestChooseFillsASwarm(t *testing.T) {
	layers := []int{0, 1, 2, 3, 4}
	const perLayer = 16
	for _, capacity := range []int{5, 16, 20, 37} {
		var swarm []experts.Holdings
		held := 0
		for held < len(layers)*perLayer {
			got := Choose(Placement{Layers: layers, Experts: perLayer, Capacity: capacity, Others: swarm})
			if got.Count() != min(capacity, len(layers)*perLayer) {
				t.Fatalf("capacity %d: node %d took %d", capacity, len(swarm), got.Count())
			}
			swarm = append(swarm, got)
			held += capacity
		}
		counts := Placement{Layers: layers, Experts: perLayer, Others: swarm}.replicas()
		for layer, experts := range counts {
			for e, n := range experts {
				if n == 0 || n > 2 {
					t.Errorf("capacity %d: layer %d expert %d has %d holders among %d nodes", capacity, layer, e, n, len(swarm))
				}
			}
		}
	}
}
