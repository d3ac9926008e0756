package plan

import "slices"

// searchSets bounds the sets that a search looks at.
const searchSets = 120

// search looks for a cheap set among many members: from the smallest set that it finds to cover the layer and from all of
// them, it drops and adds members as long as that helps.
func (l *layer) search(can []int, want int) choice {
	best := l.improve(l.few(can, want), can, want)
	if other := l.improve(can, can, want); other.time.Total() < best.time.Total() {
		best = other
	}
	return best
}

// few is a small set that covers the layer: again and again who holds most of what is missing, the cheapest of equals.
func (l *layer) few(can []int, want int) []int {
	var set []int
	have := map[int]bool{}
	for len(have) < want {
		best, most := 0, 0
		for _, m := range can {
			gain := 0
			for _, e := range l.members[m].holds.Experts() {
				if !have[e] {
					gain++
				}
			}
			if gain > most {
				best, most = m, gain
			}
		}
		set = append(set, best)
		for _, e := range l.members[best].holds.Experts() {
			have[e] = true
		}
	}
	slices.Sort(set)
	return set
}

// improve drops and adds members, the most expensive and the cheapest first, until nothing helps.
func (l *layer) improve(set, can []int, want int) choice {
	set = slices.Clone(set)
	best := l.with(set)
	budget := searchSets
	try := func(next []int) bool {
		if budget <= 0 || len(next) == 0 || !l.covers(next, want) {
			return false
		}
		budget--
		c := l.with(next)
		if c.time.Total() >= best.time.Total() {
			return false
		}
		set, best = next, c
		return true
	}
	for better := true; better; {
		better = false
		for _, m := range slices.Backward(can) {
			if at, has := slices.BinarySearch(set, m); has {
				better = try(slices.Delete(slices.Clone(set), at, at+1)) || better
			}
		}
		for _, m := range can {
			if at, has := slices.BinarySearch(set, m); !has {
				better = try(slices.Insert(slices.Clone(set), at, m)) || better
			}
		}
		for _, in := range can { // one for another
			at, has := slices.BinarySearch(set, in)
			if has {
				continue
			}
			for _, out := range slices.Backward(slices.Clone(set)) {
				next := slices.Insert(slices.Clone(set), at, in)
				i, _ := slices.BinarySearch(next, out)
				if try(slices.Delete(next, i, i+1)) {
					better = true
					break
				}
			}
		}
	}
	return best
}
