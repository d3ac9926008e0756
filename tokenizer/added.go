package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// section is a part of a text; first tells that it begins where the text begins.
type section struct {
	text  string
	first bool
}

// addedToken is a token that is looked for in the text before the model sees it.
type addedToken struct {
	id         int
	content    string // as looked for: the normalized spelling where the token says so
	singleWord bool   // only where no word character touches it
	left       bool   // takes the white space before it along
	right      bool   // takes the white space after it along
}

// addedTokens are a tokenizer's added tokens: those looked for in the raw text and those looked for after normalization.
type addedTokens struct {
	raw, normalized *matcher
}

// matcher finds the leftmost-longest added token. A nil matcher finds none.
type matcher struct {
	tokens []addedToken
	first  [256]bool // bytes that begin a token
	nodes  []trieNode
}

type trieNode struct {
	next  map[byte]int32
	token int32 // index in tokens, -1 if no token ends here
}

// newMatcher returns a matcher for tokens; where two are spelled the same the earlier one is found.
func newMatcher(tokens []addedToken) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{tokens: tokens, nodes: []trieNode{{token: -1}}}
	for i, t := range tokens {
		if t.content == "" {
			continue
		}
		m.first[t.content[0]] = true
		at := int32(0)
		for _, c := range []byte(t.content) {
			n, ok := m.nodes[at].next[c]
			if !ok {
				n = int32(len(m.nodes))
				m.nodes = append(m.nodes, trieNode{token: -1})
				if m.nodes[at].next == nil {
					m.nodes[at].next = make(map[byte]int32, 1)
				}
				m.nodes[at].next[c] = n
			}
			at = n
		}
		if m.nodes[at].token < 0 {
			m.nodes[at].token = int32(i)
		}
	}
	return m
}

// find returns the first match at or after from: its token's index and bounds, or -1.
func (m *matcher) find(s string, from int) (token, start, end int) {
	for start = from; start < len(s); start++ {
		if !m.first[s[start]] {
			continue
		}
		token, at := -1, int32(0)
		for i := start; i < len(s); i++ {
			n, ok := m.nodes[at].next[s[i]]
			if !ok {
				break
			}
			at = n
			if k := m.nodes[at].token; k >= 0 {
				token, end = int(k), i+1
			}
		}
		if token >= 0 {
			return token, start, end
		}
	}
	return -1, 0, 0
}

// cut calls yield for each part of s in order: the text between tokens with token -1 (never empty), and each token's id.
// A match that is refused for touching a word still uses up its text, as in the Hugging Face library.
func (m *matcher) cut(s string, yield func(s section, token int)) {
	done := 0 // everything before it has been yielded
	for from := 0; m != nil; {
		i, start, end := m.find(s, from)
		if i < 0 {
			break
		}
		from = end
		t := &m.tokens[i]
		if t.singleWord && (endsWithWord(s[:start]) || startsWithWord(s[end:])) {
			continue
		}
		if t.left {
			start = max(trimSpaceLeft(s, start), done)
		}
		if t.right {
			end = skipSpace(s, end)
		}
		if done < start {
			yield(section{s[done:start], done == 0}, -1)
		}
		yield(section{}, t.id)
		done = end
	}
	if done < len(s) {
		yield(section{s[done:], done == 0}, -1)
	}
}

// trimSpaceLeft returns the start of the white space that ends at end.
func trimSpaceLeft(s string, end int) int {
	for end > 0 {
		r, n := utf8.DecodeLastRuneInString(s[:end])
		if !unicode.IsSpace(r) {
			break
		}
		end -= n
	}
	return end
}

// skipSpace returns the end of the white space that begins at start.
func skipSpace(s string, start int) int {
	for start < len(s) {
		r, n := utf8.DecodeRuneInString(s[start:])
		if !unicode.IsSpace(r) {
			break
		}
		start += n
	}
	return start
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

func endsWithWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord is \w of Unicode's regular expressions (UTS 18, annex C).
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
