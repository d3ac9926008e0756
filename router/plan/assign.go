package plan

import (
	"cmp"
	"slices"

	"shoal/experts"
)

// unassigned is the holder of an expert that nobody holds.
const unassigned = -1

// concentrate gives the experts of a layer to as few of the given members as it can, this process first and then whoever
// takes most. It returns for every expert its member.
func (l *layer) concentrate(set []int) []int {
	assigned := l.nobody()
	rest := slices.Clone(set)
	for len(rest) > 0 {
		best, most := 0, -1
		for i, m := range rest {
			open := 0
			for e, holder := range assigned {
				if holder == unassigned && l.members[m].holds.Has(e) {
					open++
				}
			}
			if l.members[m].peer == "" {
				open = len(assigned)
			}
			if open > most {
				best, most = i, open
			}
		}
		m := rest[best]
		rest = slices.Delete(rest, best, best+1)
		for e, holder := range assigned {
			if holder == unassigned && l.members[m].holds.Has(e) {
				assigned[e] = m
			}
		}
	}
	return assigned
}

// spread gives every expert, those with the fewest holders first, to the one of the given members who would be done first
// with what is expected of it then. It returns for every expert its member.
func (l *layer) spread(set []int) []int {
	assigned := l.nobody()
	order, holders := make([]int, len(assigned)), make([]int, len(assigned))
	for e := range assigned {
		order[e] = e
		for _, m := range set {
			if l.members[m].holds.Has(e) {
				holders[e]++
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(holders[a], holders[b]) })
	load := make([]int, len(l.members))
	for _, e := range order {
		soonest := 0.0
		for _, m := range set {
			if !l.members[m].holds.Has(e) {
				continue
			}
			if at := l.expected(m, load[m]+1); assigned[e] == unassigned || at < soonest {
				assigned[e], soonest = m, at
			}
		}
		if m := assigned[e]; m != unassigned {
			load[m]++
		}
	}
	return assigned
}

// expected is when a member with n experts is done with those that a token is expected to ask for.
func (l *layer) expected(m, n int) float64 {
	return l.members[m].load.call.Total() + l.members[m].load.slot.Total()*float64(n*l.topK)/float64(l.experts)
}

func (l *layer) nobody() []int {
	assigned := make([]int, l.experts)
	for e := range assigned {
		assigned[e] = unassigned
	}
	return assigned
}

// byMember is an assignment as sets of experts.
func (l *layer) byMember(assigned []int) []experts.Set {
	out := make([]experts.Set, len(l.members))
	for e, m := range assigned {
		if m != unassigned {
			out[m] = out[m].With(e)
		}
	}
	return out
}
