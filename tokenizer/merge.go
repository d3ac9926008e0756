package tokenizer

// work is the memory of one encoding, reused by the next.
type work struct {
	syms  []int32  // symbols of the word, before and after merging
	ranks []uint32 // by symbol: the rank of its pair with the next one
	merge []int32  // by symbol: what that pair merges to
	next  []int32  // linked list over syms, for long words
	prev  []int32
	heap  []uint64 // rank<<32 | position of the pair's left symbol
}

// shortWord is the number of symbols up to which scanning for the lowest rank beats keeping a heap.
const shortWord = 40

// mergeAll merges w.syms in place: always the pair of lowest rank, the leftmost of equals, until no pair has one.
func (w *work) mergeAll(p *pairs) {
	if len(w.syms) <= shortWord {
		w.mergeShort(p)
	} else {
		w.mergeLong(p)
	}
}

func (w *work) mergeShort(p *pairs) {
	syms := w.syms
	ranks, merge := w.ranks[:0], w.merge[:0]
	for i := 0; i+1 < len(syms); i++ {
		r, m := p.get(syms[i], syms[i+1])
		ranks, merge = append(ranks, r), append(merge, m)
	}
	for {
		best, at := noRank, -1
		for i, r := range ranks {
			if r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			break
		}
		syms[at] = merge[at]
		syms = append(syms[:at+1], syms[at+2:]...)
		ranks = append(ranks[:at], ranks[at+1:]...)
		merge = append(merge[:at], merge[at+1:]...)
		if at > 0 {
			ranks[at-1], merge[at-1] = p.get(syms[at-1], syms[at])
		}
		if at < len(ranks) {
			ranks[at], merge[at] = p.get(syms[at], syms[at+1])
		}
	}
	w.syms, w.ranks, w.merge = syms, ranks, merge
}

// mergeLong is mergeShort in n log n: pairs wait in a heap, and one that no longer stands when it comes up is passed over.
func (w *work) mergeLong(p *pairs) {
	syms, n := w.syms, int32(len(w.syms))
	w.next, w.prev = w.next[:0], w.prev[:0]
	w.heap = w.heap[:0]
	for i := range n {
		w.next, w.prev = append(w.next, i+1), append(w.prev, i-1)
		if i+1 < n {
			if r, _ := p.get(syms[i], syms[i+1]); r != noRank {
				w.heap = append(w.heap, uint64(r)<<32|uint64(i))
			}
		}
	}
	for i := (len(w.heap) - 2) / 4; i >= 0; i-- {
		w.sink(i)
	}
	const gone = -1
	for len(w.heap) > 0 {
		top := w.heap[0]
		last := len(w.heap) - 1
		w.heap[0] = w.heap[last]
		w.heap = w.heap[:last]
		w.sink(0)

		at := int32(top & 0xffffffff)
		right := w.next[at]
		if syms[at] == gone || right >= n {
			continue
		}
		rank, id := p.get(syms[at], syms[right])
		if rank == noRank || uint64(rank) != top>>32 {
			continue
		}
		syms[at], syms[right] = id, gone
		after := w.next[right]
		w.next[at] = after
		if after < n {
			w.prev[after] = at
			if r, _ := p.get(id, syms[after]); r != noRank {
				w.push(uint64(r)<<32 | uint64(at))
			}
		}
		if before := w.prev[at]; before >= 0 {
			if r, _ := p.get(syms[before], id); r != noRank {
				w.push(uint64(r)<<32 | uint64(before))
			}
		}
	}
	out := syms[:0]
	for _, s := range syms {
		if s != gone {
			out = append(out, s)
		}
	}
	w.syms = out
}

// push and sink keep heap a four-way heap with its least entry first.
func (w *work) push(x uint64) {
	w.heap = append(w.heap, x)
	i := len(w.heap) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if w.heap[parent] <= x {
			break
		}
		w.heap[i] = w.heap[parent]
		i = parent
	}
	w.heap[i] = x
}

func (w *work) sink(i int) {
	h := w.heap
	if i >= len(h) {
		return
	}
	x := h[i]
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		for k := child + 1; k < min(4*i+5, len(h)); k++ {
			if h[k] < h[child] {
				child = k
			}
		}
		if h[child] >= x {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = x
}
