package swarmmap

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/experts"
	"shoal/rdrr"
)

func TestMap(t *testing.T) {
	moe := &rdrr.MoE{Layers: []int{1, 2}, Experts: 10}
	m := New(rdrr.Digest{0xab}, moe, []Peer{
		{ID: "peer-bbbbbbbb", Device: "cpu", Holds: experts.Holdings{1: experts.SetOf(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)}},
		{ID: "peer-aaaaaaaa", Holds: experts.Holdings{1: experts.SetOf(0), 2: experts.SetOf(1, 2, 9)}},
	})
	want := []Layer{
		{Layer: 1, Experts: 10, Held: 10, Least: 1, Most: 2, Copies: []int{2, 1, 1, 1, 1, 1, 1, 1, 1, 1}, Missing: []int{}},
		{Layer: 2, Experts: 10, Held: 3, Least: 0, Most: 1, Copies: []int{0, 1, 1, 0, 0, 0, 0, 0, 0, 1}, Missing: []int{0, 3, 4, 5, 6, 7, 8}},
	}
	if diff := cmp.Diff(want, m.Layers); diff != "" {
		t.Error(diff)
	}
	if m.Complete {
		t.Error("a map with missing experts says it is complete")
	}
	var out bytes.Buffer
	m.Print(&out)
	const drawn = `model ab0000000000, 2 peers
  …aaaaaaaa  4 experts in 2 layers
  …bbbbbbbb  10 experts in 1 layer, cpu
replicas per expert (. is none):
  layer   1  21111111 11
  layer   2  .11..... .1  missing 0,3-8
some experts have no holder: text cannot be generated until nodes hold them (node --layers L --experts E)
`
	if diff := cmp.Diff(drawn, out.String()); diff != "" {
		t.Error(diff)
	}
}
