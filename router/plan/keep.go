package plan

import "shoal/experts"

// Keep is [Planner.Plan] without taking layers in, except that a layer stays as it was planned before as long as that is
// possible and the new assignment would not be faster by more than the given share: .1 keeps what is up to a tenth slower.
// So small changes of what is measured do not move work to and fro.
func (p *Planner) Keep(old *Plan, share float64) *Plan {
	if old == nil {
		return p.Plan(0)
	}
	before := map[int]Layer{}
	for _, l := range old.Layers {
		before[l.Layer] = l
	}
	fresh := p.Plan(0)
	layers := fresh.Layers
	for i, l := range p.layers {
		was, known := before[layers[i].Layer]
		if !known || layers[i].Here || was.Here {
			continue
		}
		assigned, ok := l.again(was.Experts)
		if !ok {
			continue
		}
		if c := l.cost(assigned); c.time.Total() <= layers[i].Time.Total()*(1+share) {
			layers[i] = l.part(layers[i].Layer, c)
		}
	}
	return p.sum(layers)
}

// again is an assignment made before, ok if everybody in it still holds their part and nothing that is held is left out.
func (l *layer) again(by map[string]experts.Set) (assigned []int, ok bool) {
	assigned = l.nobody()
	parts := 0
	for m, member := range l.members {
		set, has := by[member.peer]
		if !has {
			continue
		}
		parts++
		for _, e := range set.Experts() {
			if !member.holds.Has(e) {
				return nil, false
			}
			assigned[e] = m
		}
	}
	if parts < len(by) { // somebody is gone
		return nil, false
	}
	coverable := l.coverable(everybody)
	for e, m := range assigned {
		if m == unassigned && coverable.Has(e) {
			return nil, false
		}
	}
	return assigned, true
}
