package router

import (
	"errors"
	"testing"

	"shoal/experts"
	"shoal/experts/runnertest"
	"shoal/rdrr"
)

func TestMissingError(t *testing.T) {
	for _, tt := range []struct {
		err  MissingError
		want string
	}{
		{
			MissingError{Missing: []Missing{{7, []int{3}}}, Failures: []Failure{{"12D3Koo", experts.ErrGone}, {"", experts.ErrInternal}}},
			"layer 7 expert 3: no peer is left that holds it (12D3Koo: peer is unreachable; this process: peer failed inside); start a node with --layers 7 --experts 3",
		},
		{
			MissingError{Missing: []Missing{{0, []int{4, 5, 6}}, {1, []int{4, 5, 6}}, {2, []int{0, 7}}}},
			"layers 0-1 experts 4-6; layer 2 experts 0,7: no peer holds them; start a node with --layers 0-1 --experts 4-6, another with --layers 2 --experts 0,7",
		},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if !errors.Is(&tt.err, experts.ErrNotHeld) {
			t.Error("is no experts.ErrNotHeld")
		}
	}
	err := error(&MissingError{Failures: []Failure{{"a", experts.ErrGone}}})
	if !errors.Is(err, experts.ErrGone) {
		t.Error("the failures cannot be asked for")
	}
}

func TestUncovered(t *testing.T) {
	moe := rdrr.MoE{Layers: []int{1, 3}, Experts: 4}
	all := experts.Holder{Holds: runnertest.All(moe)}
	for _, tt := range []struct {
		name    string
		holders []experts.Holder
		want    string
	}{
		{"nobody", nil, "layers 1,3 experts 0-3"},
		{"one with all", []experts.Holder{all}, ""},
		{"two halves", []experts.Holder{{Holds: experts.Holdings{1: experts.SetOf(0, 1), 3: experts.SetOf(2, 3)}}, {Holds: experts.Holdings{1: experts.SetOf(2, 3), 3: experts.SetOf(0)}}}, "layer 3 expert 1"},
		{"experts of another layer", []experts.Holder{{Holds: experts.Holdings{0: experts.SetOf(0, 1, 2, 3), 1: experts.SetOf(0, 1, 2, 3)}}}, "layer 3 experts 0-3"},
	} {
		got := ""
		if missing := Uncovered(moe, tt.holders); missing != nil {
			got = (&MissingError{Missing: missing}).Error()
		}
		if tt.want == "" && got != "" || len(got) < len(tt.want) || got[:len(tt.want)] != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
