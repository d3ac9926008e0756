package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// findCuts learns where a word may be cut before merging, with the same result: between two symbols that are neighbours in
// no merge's result. Without a splitting pattern a whole document is one word, and this makes it many short ones.
func (m *bpe) findCuts(tokens func(int32) string, merges []merge) {
	if m.byBytes || m.innerMark != "" || m.endMark != "" {
		return
	}
	m.adjacent = newPairs(1 << 10)
	m.cutUnknown = true
	for _, id := range m.fallback {
		m.cutUnknown = m.cutUnknown && id >= 0
	}
	atom := m.atoms()
	for _, x := range merges {
		left, right := tokens(x.left), tokens(x.right)
		if atom(left, strings.HasSuffix) || atom(right, strings.HasPrefix) {
			m.adjacent = nil // a byte token or unk takes part in merges
			return
		}
		l, _ := utf8.DecodeLastRuneInString(left)
		r, _ := utf8.DecodeRuneInString(right)
		if a, b := m.runeSym(l), m.runeSym(r); a >= 0 && b >= 0 {
			m.adjacent.put(a, b, 0, 0)
		}
	}
}

// atoms returns a test of whether a token has at its edge what a character without a symbol becomes: a byte token or unk.
func (m *bpe) atoms() func(token string, has func(s, part string) bool) bool {
	unk := ""
	for token, id := range m.vocab {
		if id == m.unk {
			unk = token
		}
	}
	return func(token string, has func(s, part string) bool) bool {
		if unk != "" && has(token, unk) {
			return true
		}
		if len(token) < 6 {
			return false
		}
		for _, part := range []string{token[:6], token[len(token)-6:]} {
			if b, ok := byteToken(part); ok && has(token, part) && m.fallback[b] >= 0 {
				return true
			}
		}
		return false
	}
}

func (m *bpe) mayCut(left, right int32) bool {
	if left < 0 || right < 0 {
		return m.cutUnknown
	}
	rank, _ := m.adjacent.get(left, right)
	return rank == noRank
}
