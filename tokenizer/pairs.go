package tokenizer

// pairs maps pairs of symbols to a rank and a symbol: an open hash table, some times faster here than a Go map.
type pairs struct {
	slots []pairSlot // a power of two, at least a third of them empty
	mask  uint64
	n     int
}

type pairSlot struct {
	key  uint64 // left<<32 | right, plus one: zero is an empty slot
	rank uint32
	id   int32
}

func newPairs(n int) *pairs {
	size := 16
	for size < n+n/2 {
		size *= 2
	}
	return &pairs{slots: make([]pairSlot, size), mask: uint64(size - 1)}
}

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) + 1 }

// slot returns the place of key: where it is, or where it would be put.
func (p *pairs) slot(key uint64) *pairSlot {
	h := key * 0x9e3779b97f4a7c15
	for i := (h ^ h>>29) & p.mask; ; i = (i + 1) & p.mask {
		if s := &p.slots[i]; s.key == key || s.key == 0 {
			return s
		}
	}
}

// put records a pair, over an earlier value.
func (p *pairs) put(left, right int32, rank uint32, id int32) {
	if (p.n+1)*3 > len(p.slots)*2 {
		old := p.slots
		*p = *newPairs(2 * len(old))
		for _, s := range old {
			if s.key != 0 {
				*p.slot(s.key) = s
				p.n++
			}
		}
	}
	s := p.slot(pairKey(left, right))
	if s.key == 0 {
		p.n++
	}
	*s = pairSlot{pairKey(left, right), rank, id}
}

const noRank = ^uint32(0)

// get returns the rank and the merged symbol of a pair; noRank if it has none.
func (p *pairs) get(left, right int32) (rank uint32, id int32) {
	s := p.slot(pairKey(left, right))
	if s.key == 0 {
		return noRank, -1
	}
	return s.rank, s.id
}
