package router

import (
	"cmp"
	"slices"
	"time"

	"shoal/experts"
)

// candidate is a holder as the choice of replicas sees it.
type candidate struct {
	peer    string // "" is this process
	holds   experts.Set
	latency time.Duration // expected for this size of call
	resting bool          // failed lately: only for what nobody else holds
}

// cover assigns every needed expert to a candidate. It returns for each of need the index of its candidate, -1 if none holds
// it.
//
// This process comes first, since it costs no message. The others are chosen by [setCost]: the fewest peers, then the
// fastest, unless more peers are faster by far. Resting peers get only what is left. Equal choices go to the lower peer id,
// so the same situation always gives the same assignment.
func cover(need []int, candidates []candidate) []int {
	assigned := make([]int, len(need))
	for i := range assigned {
		assigned[i] = -1
	}
	for _, tier := range []func(candidate) bool{
		func(c candidate) bool { return c.peer == "" },
		func(c candidate) bool { return c.peer != "" && !c.resting },
		func(c candidate) bool { return c.peer != "" && c.resting },
	} {
		var open []int // indices into need
		for i, c := range assigned {
			if c < 0 {
				open = append(open, i)
			}
		}
		if len(open) == 0 {
			break
		}
		for _, o := range coverTier(need, open, candidates, tier) {
			for _, i := range o.covers.Experts() {
				if assigned[open[i]] < 0 {
					assigned[open[i]] = o.candidate
				}
			}
		}
	}
	return assigned
}

// option is a candidate with what it could take over.
type option struct {
	candidate int
	peer      string
	covers    experts.Set // indices into the open needs
	latency   time.Duration
}

// coverTier returns the options of one tier to use, fastest first.
func coverTier(need, open []int, candidates []candidate, tier func(candidate) bool) []option {
	var options []option
	for c, cand := range candidates {
		if !tier(cand) {
			continue
		}
		o := option{candidate: c, peer: cand.peer, latency: cand.latency}
		for i, n := range open {
			if cand.holds.Has(need[n]) {
				o.covers = o.covers.With(i)
			}
		}
		if o.covers != nil {
			options = append(options, o)
		}
	}
	slices.SortStableFunc(options, func(a, b option) int {
		return cmp.Or(cmp.Compare(a.latency, b.latency), cmp.Compare(b.covers.Len(), a.covers.Len()), cmp.Compare(a.peer, b.peer))
	})
	options = undominated(options)
	if len(options) <= 1 {
		return options
	}

	coverable := experts.Set{}
	for _, o := range options {
		coverable = union(coverable, o.covers)
	}
	s := search{options: options, all: coverable.Len(), budget: 500}
	s.try(nil, nil)
	slices.Sort(s.best)
	out := make([]option, len(s.best))
	for i, o := range s.best {
		out[i] = options[o]
	}
	return out
}

// undominated drops the options that an earlier, so no slower, one makes pointless.
func undominated(options []option) []option {
	var out []option
next:
	for _, o := range options {
		for _, better := range out {
			if union(better.covers, o.covers).Len() == better.covers.Len() {
				continue next
			}
		}
		out = append(out, o)
	}
	return out
}

// setCost is what a set of peers is expected to cost: the slowest of them, since they work at the same time, a tenth more for
// every further peer, because the chance of a straggler grows with each, and the cost of sending a message.
func setCost(slowest time.Duration, peers int) time.Duration {
	return slowest + slowest*time.Duration(peers-1)/10 + time.Duration(peers)*100*time.Microsecond
}

// search looks for the cheapest cover, depth first. Options are sorted by latency.
type search struct {
	options []option
	all     int // how many needs can be covered
	budget  int // sets to look at; the first one found is that of the greedy choice
	best    []int
	cost    time.Duration
}

// try extends a chosen list of options that covers the given needs.
func (s *search) try(chosen []int, covered experts.Set) {
	slowest := time.Duration(0)
	for _, c := range chosen {
		slowest = max(slowest, s.options[c].latency)
	}
	cost := setCost(slowest, len(chosen))
	if s.best != nil && (cost >= s.cost || s.budget <= 0) {
		return
	}
	s.budget--
	if covered.Len() == s.all {
		s.best, s.cost = slices.Clone(chosen), cost
		return
	}
	// Some option must cover the need that the fewest options cover; the one that covers most of the rest goes first.
	for _, o := range s.next(covered) {
		s.try(append(chosen, o), union(covered, s.options[o].covers))
	}
}

// next returns the options for the open need with the fewest of them.
func (s *search) next(covered experts.Set) []int {
	counts := map[int]int{}
	for _, o := range s.options {
		for _, n := range o.covers.Experts() {
			if !covered.Has(n) {
				counts[n]++
			}
		}
	}
	rarest := -1
	for n, count := range counts {
		if rarest < 0 || count < counts[rarest] || count == counts[rarest] && n < rarest {
			rarest = n
		}
	}
	var out []int
	for i, o := range s.options {
		if o.covers.Has(rarest) {
			out = append(out, i)
		}
	}
	gain := func(o int) int { return union(covered, s.options[o].covers).Len() }
	slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(gain(b), gain(a)) })
	return out
}

// union returns a new set of what is in a or b.
func union(a, b experts.Set) experts.Set {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, w := range b {
		out[i] |= w
	}
	return out
}
