package router

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestPassTime(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rows  func(i int) int // further rows of pass i
		true  passCost
		noise float64
	}{
		{"a mix of rows", func(i int) int { return i % 5 }, passCost{1, .1}, .05},
		{"rows that are free", func(i int) int { return i % 5 }, passCost{1, 0}, .05},
		{"rows that cost a pass", func(i int) int { return i % 2 }, passCost{.02, .02}, .001},
		{"now and then a long one", func(i int) int { return i % 10 / 9 * 8 }, passCost{1, .2}, .05},
	} {
		rng := rand.New(rand.NewPCG(1, 1))
		var p passTime
		for i := range 300 {
			x := tt.rows(i)
			p.add(x, tt.true.pass(x)+tt.noise*rng.NormFloat64())
		}
		if got := p.line; math.Abs(got.base-tt.true.base) > .08*tt.true.base || math.Abs(got.perRow-tt.true.perRow) > .03*tt.true.base {
			t.Errorf("%s: fitted %+v, want %+v", tt.name, got, tt.true)
		}
	}
}

func TestPassTimeFollows(t *testing.T) {
	var p passTime
	feed := func(n int, c passCost, rows func(i int) int) {
		for i := range n {
			x := rows(i)
			p.add(x, c.pass(x))
		}
	}
	close := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > .02*want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	feed(1, passCost{2, 0}, func(int) int { return 0 })
	close("first pass", p.line.base, 2)
	close("slope not measured", p.line.perRow, 2*unmeasuredSlope)
	feed(40, passCost{2, .5}, func(i int) int { return i % 2 })
	close("measured slope", p.line.perRow, .5)

	// Passes of one length keep the slope and follow the time.
	feed(200, passCost{2, .5}, func(int) int { return 3 })
	feed(100, passCost{4, .5}, func(int) int { return 3 })
	close("slope of equal passes", p.line.perRow, .5)
	close("base of equal passes", p.line.base, 4)

	// One that stalls counts as three.
	before := p.line
	if counted := p.add(3, 1000); counted != outlier*before.pass(3) {
		t.Errorf("a stall of 1000 s counts as %v s", counted)
	}
	if p.line.base > 1.2*before.base {
		t.Errorf("a stall took the base from %v to %v", before.base, p.line.base)
	}

	// Without passes of several rows the slope is doubted some day.
	feed(100, passCost{4, 4}, func(i int) int { return i % 2 })
	feed(60, passCost{4, 4}, func(int) int { return 0 })
	if p.line.perRow < .75*4 {
		t.Errorf("forgotten too soon: %v", p.line.perRow)
	}
	feed(2000, passCost{4, 4}, func(int) int { return 0 })
	if p.line.perRow > .3*4 {
		t.Errorf("never doubted: %v", p.line.perRow)
	}
}

func TestPassTimeGrowsBySteps(t *testing.T) {
	var p passTime
	var got []int
	for p.next() < MaxDraft {
		got = append(got, p.next())
		p.add(p.next(), 1)
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 3 || got[2] != 7 {
		t.Errorf("tried %v guesses before %d", got, MaxDraft)
	}
}
