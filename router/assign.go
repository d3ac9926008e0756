package router

import "shoal/router/plan"

// planned is the largest class of work that a plan, which is made for one row, is followed for.
const planned = 1

// assign gives every needed expert of a layer to a candidate, as the plan has it and as [cover] does where it says nothing or
// names somebody who cannot be asked. It returns for each of need the index of its candidate, -1 if none holds it.
func (s *Swarm) assign(layer int, need []int, candidates []candidate, slots int) []int {
	p := s.plan.Load()
	if p == nil || sizeClass(slots) > planned {
		return cover(need, candidates)
	}
	assigned := make([]int, len(need))
	var open, openAt []int
	for i, e := range need {
		if assigned[i] = follow(p, layer, e, candidates); assigned[i] < 0 {
			open, openAt = append(open, e), append(openAt, i)
		}
	}
	for i, c := range cover(open, candidates) {
		assigned[openAt[i]] = c
	}
	return assigned
}

// follow is the candidate that the plan gives an expert to, -1 if there is none or it should rest.
func follow(p *plan.Plan, layer, expert int, candidates []candidate) int {
	part, ok := p.Layer(layer)
	if !ok {
		return -1
	}
	for c := range candidates {
		if cand := &candidates[c]; !cand.resting && cand.holds.Has(expert) && part.Experts[cand.peer].Has(expert) {
			return c
		}
	}
	return -1
}
