package tokenizer

import (
	"unicode/utf8"
)

// merged returns the ids of a word, in w's memory.
func (m *bpe) merged(w *work, word string) []int32 {
	m.symbols(w, word)
	w.mergeAll(m.pairs)
	if m.spellings == nil {
		return w.syms
	}
	var out []int32
	for i, s := range w.syms {
		if s < m.firstExtra {
			if out != nil {
				out = append(out, s)
			}
			continue
		}
		if out == nil {
			out = append(make([]int32, 0, len(w.syms)+8), w.syms[:i]...)
		}
		spelled := m.spellings[s-m.firstExtra]
		if !m.hasFallback(spelled) {
			out = append(out, m.unk)
			continue
		}
		for _, b := range []byte(spelled) {
			out = append(out, m.fallback[b])
		}
	}
	if out != nil {
		return out
	}
	return w.syms
}

// symbols sets w.syms to the word's symbols before merging.
func (m *bpe) symbols(w *work, word string) {
	w.syms = w.syms[:0]
	unk := int32(-1) // an unk not yet written, for fuseUnk
	known := func(id int32) {
		if unk >= 0 {
			w.syms = append(w.syms, unk)
			unk = -1
		}
		w.syms = append(w.syms, id)
	}
	switch {
	case m.byBytes:
		for i := range len(word) {
			if id := m.byteSym[word[i]]; id >= 0 {
				known(id)
			} else {
				unk = m.unknown(w, string(letterOf[word[i]]), unk)
			}
		}
	case m.innerMark == "" && m.endMark == "":
		for i, r := range word {
			if id := m.runeSym(r); id >= 0 {
				known(id)
			} else {
				unk = m.unknown(w, word[i:i+utf8.RuneLen(r)], unk)
			}
		}
	default:
		for i, r := range word {
			spelled, n := string(r), utf8.RuneLen(r)
			if i > 0 {
				spelled = m.innerMark + spelled
			}
			if i+n == len(word) {
				spelled += m.endMark
			}
			if id, ok := m.vocab[spelled]; ok {
				known(id)
			} else {
				unk = m.unknown(w, spelled, unk)
			}
		}
	}
	if unk >= 0 {
		w.syms = append(w.syms, unk)
	}
}

func (m *bpe) hasFallback(s string) bool {
	for i := range len(s) {
		if m.fallback[s[i]] < 0 {
			return false
		}
	}
	return true
}

// unknown appends what stands for a character without a symbol and returns the unk that is then waiting. Byte tokens go
// before a waiting unk, as in the Hugging Face library.
func (m *bpe) unknown(w *work, spelled string, unk int32) int32 {
	if m.hasFallback(spelled) {
		for i := range len(spelled) {
			w.syms = append(w.syms, m.fallback[spelled[i]])
		}
		return unk
	}
	if m.unk < 0 {
		return unk
	}
	if unk >= 0 && !m.fuseUnk {
		w.syms = append(w.syms, unk)
	}
	return m.unk
}
