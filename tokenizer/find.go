package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// findString finds every occurrence of a string.
func findString(pattern string) func(string) []span {
	return func(s string) []span {
		var spans []span
		for at := 0; at < len(s); {
			i := strings.Index(s[at:], pattern)
			if i < 0 || pattern == "" {
				return append(spans, span{at, len(s), false})
			}
			if i > 0 {
				spans = append(spans, span{at, at + i, false})
			}
			spans = append(spans, span{at + i, at + i + len(pattern), true})
			at += i + len(pattern)
		}
		return spans
	}
}

// findRunes finds every character that is.
func findRunes(is func(rune) bool) func(string) []span {
	return func(s string) []span {
		var spans []span
		for at := 0; at < len(s); {
			r, n := utf8.DecodeRuneInString(s[at:])
			match := is(r)
			if last := len(spans) - 1; last >= 0 && !match && !spans[last].match {
				spans[last].end += n
			} else {
				spans = append(spans, span{at, at + n, match})
			}
			at += n
		}
		return spans
	}
}

// findSpaces finds white space, and cuts what lies between into words and runs of other characters.
func findSpaces(s string) []span {
	kind := func(r rune) int {
		switch {
		case unicode.IsSpace(r):
			return 0
		case isWord(r):
			return 1
		}
		return 2
	}
	var spans []span
	before := -1
	for at, r := range s {
		k := kind(r)
		if k != before {
			spans = append(spans, span{start: at, match: k == 0})
		}
		before = k
		spans[len(spans)-1].end = at + utf8.RuneLen(r)
	}
	return spans
}

// isPunctuation is what the Hugging Face library means by it: Unicode's punctuation and ASCII's symbols.
func isPunctuation(r rune) bool {
	return unicode.IsPunct(r) || r > ' ' && r < 0x7f && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}
