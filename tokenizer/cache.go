package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
)

// Bounds of a wordCache: at most cacheSlots words of at most cacheWord bytes, so about 10 MB when full.
const (
	cacheSlots = 1 << 15
	cacheWord  = 64
)

// wordCache remembers what words encode to. A word has two places and the newer word wins one, so it needs no lock and
// never grows.
type wordCache struct {
	seed  maphash.Seed
	slots [cacheSlots]atomic.Pointer[cachedWord]
}

type cachedWord struct {
	word string
	ids  []int32
}

func newWordCache() *wordCache { return &wordCache{seed: maphash.MakeSeed()} }

// get returns the ids of word and its hash, by which put stores it.
func (c *wordCache) get(word string) (ids []int32, hash uint64, ok bool) {
	hash = maphash.String(c.seed, word)
	for _, at := range [2]uint64{hash % cacheSlots, hash >> 32 % cacheSlots} {
		if e := c.slots[at].Load(); e != nil && e.word == word {
			return e.ids, hash, true
		}
	}
	return nil, hash, false
}

// put stores a word; it copies both.
func (c *wordCache) put(hash uint64, word string, ids []int32) {
	e := &cachedWord{word: string([]byte(word)), ids: append([]int32(nil), ids...)}
	first, second := &c.slots[hash%cacheSlots], &c.slots[hash>>32%cacheSlots]
	if first.Load() != nil && (second.Load() == nil || hash>>63 == 0) {
		second.Store(e)
		return
	}
	first.Store(e)
}
