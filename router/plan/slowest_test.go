package plan

import (
	"math"
	"math/rand/v2"
	"testing"
)

// simulated draws tokens and waits for the slowest holder of each.
func simulated(loads []load, topK, tokens int) (mean float64, byHolder []float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	var owner []int
	for i, l := range loads {
		for range l.experts {
			owner = append(owner, i)
		}
	}
	byHolder = make([]float64, len(loads))
	for range tokens {
		slots := make([]int, len(loads))
		for _, e := range rng.Perm(len(owner))[:topK] {
			slots[owner[e]]++
		}
		last, who := 0.0, 0
		for i, j := range slots {
			if j == 0 {
				continue
			}
			at := loads[i].call.Total() + float64(j)*loads[i].slot.Total()
			if loads[i].late > 0 && rng.Float64() >= onTime {
				at += loads[i].late
			}
			if at > last {
				last, who = at, i
			}
		}
		mean += last / float64(tokens)
		byHolder[who] += last / float64(tokens)
	}
	return mean, byHolder
}

func TestSlowestIsTheMeanOfDraws(t *testing.T) {
	at := func(n int, rtt, compute, late float64) load {
		return load{experts: n, call: Time{RoundTrip: rtt}, slot: Time{Compute: compute}, late: late, message: true}
	}
	for name, c := range map[string]struct {
		loads []load
		topK  int
	}{
		"one":           {[]load{at(16, .03, .001, 0)}, 4},
		"equal":         {[]load{at(32, .001, .002, 0), at(32, .001, .002, 0), at(32, .001, .002, 0), at(32, .001, .002, 0)}, 8},
		"near and far":  {[]load{at(14, .005, .001, 0), at(2, .1, .0005, 0)}, 4},
		"late":          {[]load{at(8, .01, .001, .05), at(8, .012, .001, .04)}, 2},
		"slow and fast": {[]load{at(100, .001, .0001, 0), at(20, .002, .01, .003), at(8, .0005, .02, 0)}, 8},
		"all chosen":    {[]load{at(3, .01, .002, 0), at(1, .02, 0, 0)}, 4},
	} {
		const tokens = 200_000
		want, waits := simulated(c.loads, c.topK, tokens)
		got, by := slowest(c.loads, c.topK)
		// Values lie between 0 and the most that any holder may take: so the mean of that many draws is known to 4 standard
		// errors of at most half of it.
		most := 0.0
		for _, l := range c.loads {
			most = max(most, l.call.Total()+float64(min(c.topK, l.experts))*l.slot.Total()+l.late)
		}
		tolerance := 4 * most / 2 / math.Sqrt(tokens)
		if diff := math.Abs(got.Total() - want); diff > tolerance {
			t.Errorf("%s: expected %.6f s, %d draws take %.6f", name, got.Total(), tokens, want)
		}
		sum := 0.0
		for i := range by {
			sum += by[i]
			if diff := math.Abs(by[i] - waits[i]); diff > tolerance && len(c.loads) < 4 { // equal holders share a moment
				t.Errorf("%s: holder %d makes %.6f s of it, in draws %.6f", name, i, by[i], waits[i])
			}
		}
		if math.Abs(sum-got.Total()) > 1e-9 {
			t.Errorf("%s: the holders make %.9f s of %.9f", name, sum, got.Total())
		}
	}
}

// The expected number of distinct peers that a token needs when experts are spread evenly, worked out by hand from the
// hypergeometric distribution.
func TestDistinctPeers(t *testing.T) {
	for _, c := range []struct {
		topK, experts, peers int
		want                 float64
	}{
		{8, 128, 2, 1.99}, {8, 128, 4, 3.63}, {8, 128, 8, 5.34}, {8, 128, 16, 6.60}, {8, 128, 32, 7.36},
		{8, 384, 8, 5.28}, {4, 32, 4, 2.82}, {2, 16, 2, 1.53}, {2, 8, 4, 1.86},
	} {
		var loads []load
		for range c.peers {
			loads = append(loads, load{experts: c.experts / c.peers, message: true})
		}
		if got := distinct(loads, c.experts, c.topK); math.Abs(got-c.want) > .005 {
			t.Errorf("top-%d of %d on %d peers: %.3f distinct, want %.2f", c.topK, c.experts, c.peers, got, c.want)
		}
	}
}

func TestSlowestOfLargeModels(t *testing.T) {
	var loads []load
	for range 64 {
		loads = append(loads, load{experts: maxExperts / 64, call: Time{RoundTrip: .01}, slot: Time{Compute: .001}, message: true})
	}
	got, _ := slowest(loads, maxTopK)
	if math.IsNaN(got.Total()) || got.Total() < .01+.002 || got.Total() > .01+maxTopK*.001 {
		t.Errorf("top-%d of %d on 64 peers: %v s", maxTopK, maxExperts, got.Total())
	}
}
