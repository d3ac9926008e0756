package tokenizer

import (
	"fmt"
	"sync"
	"unicode"
	"unicode/utf8"
)

// bpe is a byte-pair-encoding model: a word's symbols (its bytes or characters) are merged by rank until none merge.
type bpe struct {
	byBytes bool             // symbols are bytes, spelled as letters in the vocabulary; else they are characters
	vocab   map[string]int32 // as the file spells tokens
	pairs   *pairs           // merges
	whole   map[string]int32 // words that are tokens whatever the merges say; nil: none
	longest int              // bytes of the longest word of whole

	byteSym  [256]int32                          // byBytes: each byte's symbol, -1: none
	runeSyms [(unicode.MaxRune + 1) >> 8][]int32 // else: each character's, -1 or no page: none

	fallback   [256]int32 // tokens such as <0x0A> for the bytes of characters without a symbol, -1: none
	unk        int32      // for characters that have no fallback either; -1: they vanish
	fuseUnk    bool       // a run of unk counts once
	innerMark  string     // before the spelling of each but the first symbol of a word
	endMark    string     // after that of the last
	spellings  []string   // of symbols that are no tokens: symbol firstExtra+i is what spellings[i] falls back to
	firstExtra int32

	adjacent   *pairs // pairs of symbols that some merge can join across; nil: unknown, words are not cut
	cutUnknown bool   // whether no merge reaches a character without a symbol

	cache *wordCache
	pool  sync.Pool
}

// merge is one line of a model's merge list, by token.
type merge struct {
	left, right, result int32
	rank                uint32
}

// newBPE returns a model with tables made from vocab and merges. The caller sets what is special about it, then calls prepare.
func newBPE(vocab map[string]int32, merges []merge) *bpe {
	m := &bpe{vocab: vocab, pairs: newPairs(len(merges)), unk: -1, firstExtra: 1<<31 - 1, cache: newWordCache()}
	for _, x := range merges {
		m.pairs.put(x.left, x.right, x.rank, x.result)
	}
	for b := range m.fallback {
		m.fallback[b] = -1
		m.byteSym[b] = -1
		if id, ok := vocab[string(letterOf[b])]; ok {
			m.byteSym[b] = id
		}
	}
	for token, id := range vocab {
		if r, n := utf8.DecodeRuneInString(token); n == len(token) && n > 0 {
			m.setRune(r, id)
		}
	}
	m.pool.New = func() any { return new(work) }
	return m
}

func (m *bpe) setRune(r rune, id int32) {
	page := &m.runeSyms[r>>8]
	if *page == nil {
		*page = make([]int32, 256)
		for i := range *page {
			(*page)[i] = -1
		}
	}
	(*page)[r&0xff] = id
}

func (m *bpe) runeSym(r rune) int32 {
	if page := m.runeSyms[r>>8]; page != nil {
		return page[r&0xff]
	}
	return -1
}

// useFallback makes characters without a symbol fall back to the tokens of their bytes, where the vocabulary has them.
func (m *bpe) useFallback() {
	for b := range m.fallback {
		if id, ok := m.vocab[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.fallback[b] = id
		}
	}
}

// useWhole makes every token that can be a word one, without merging.
func (m *bpe) useWhole() {
	m.whole = make(map[string]int32, len(m.vocab))
	for token, id := range m.vocab {
		word, ok := token, true
		if m.byBytes {
			word, ok = lettersToBytes(token)
		}
		if ok {
			m.whole[word] = id
			m.longest = max(m.longest, len(word))
		}
	}
}

func (m *bpe) borrow() *work { return m.pool.Get().(*work) }

func (m *bpe) giveBack(w *work) {
	if cap(w.syms) <= 1<<20 { // a huge word's memory is not kept
		m.pool.Put(w)
	}
}

// encode appends the ids of a word.
func (m *bpe) encode(w *work, word string, ids []int) []int {
	if len(word) <= m.longest {
		if id, ok := m.whole[word]; ok {
			return append(ids, int(id))
		}
	}
	if m.adjacent == nil {
		return m.encodeUncut(w, word, ids)
	}
	start, before := 0, int32(-1)
	for i, r := range word {
		sym := m.runeSym(r)
		if i > 0 && m.mayCut(before, sym) {
			ids = m.encodeUncut(w, word[start:i], ids)
			start = i
		}
		before = sym
	}
	return m.encodeUncut(w, word[start:], ids)
}

func (m *bpe) encodeUncut(w *work, word string, ids []int) []int {
	if len(word) > cacheWord {
		return appendIDs(ids, m.merged(w, word))
	}
	found, hash, ok := m.cache.get(word)
	if !ok {
		found = m.merged(w, word)
		m.cache.put(hash, word, found)
	}
	return appendIDs(ids, found)
}

func appendIDs(ids []int, more []int32) []int {
	for _, id := range more {
		ids = append(ids, int(id))
	}
	return ids
}
