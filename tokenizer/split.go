package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitStep is one pre-tokenizer: it cuts a section into shorter ones, and may rewrite them.
type splitStep interface {
	split(s section, yield func(section))
}

// splitInto runs s through steps, each on every part of the one before. Empty parts are dropped.
func splitInto(steps []splitStep, s section, yield func(section)) {
	if s.text == "" {
		return
	}
	if len(steps) == 0 {
		yield(s)
		return
	}
	steps[0].split(s, func(part section) { splitInto(steps[1:], part, yield) })
}

// wordStep splits by one of the well-known patterns; every part is a match.
type wordStep struct{ pattern *wordPattern }

func (w wordStep) split(s section, yield func(section)) {
	for first := s.first; s.text != ""; first = false {
		n := w.pattern.first(s.text)
		yield(section{s.text[:n], first})
		s.text = s.text[n:]
	}
}

// behaviour says where the text that a pattern matches goes.
type behaviour string

const (
	isolated       behaviour = "Isolated"
	removed        behaviour = "Removed"
	mergedPrevious behaviour = "MergedWithPrevious"
	mergedNext     behaviour = "MergedWithNext"
	contiguous     behaviour = "Contiguous"
)

func parseBehaviour(s string) (behaviour, error) {
	switch b := behaviour(s); b {
	case isolated, removed, mergedPrevious, mergedNext, contiguous:
		return b, nil
	}
	return "", fmt.Errorf("behavior %q is not known", s)
}

// span is a part of a text, bytes start to end, and whether a pattern matched it.
type span struct {
	start, end int
	match      bool
}

// patternStep splits by any pattern.
type patternStep struct {
	find   func(s string) []span // all of s in order, matches and what lies between; none empty
	invert bool
	to     behaviour
}

func (p patternStep) split(s section, yield func(section)) {
	spans := p.find(s.text)
	if p.invert {
		for i := range spans {
			spans[i].match = !spans[i].match
		}
	}
	for _, part := range p.to.merge(spans) {
		yield(section{s.text[part.start:part.end], s.first && part.start == 0})
	}
}

// merge joins spans as the behaviour asks, in place.
func (b behaviour) merge(spans []span) []span {
	switch out := spans[:0]; b {
	case removed:
		for _, s := range spans {
			if !s.match {
				out = append(out, s)
			}
		}
		return out
	case contiguous, mergedPrevious:
		before := false
		for _, s := range spans {
			join := s.match && !before
			if b == contiguous {
				join = s.match == before
			}
			before = s.match
			if join && len(out) > 0 {
				out[len(out)-1].end = s.end
			} else {
				out = append(out, s)
			}
		}
		return out
	case mergedNext:
		// A match goes to what follows it, unless that is a match too.
		for i := 0; i < len(spans); i++ {
			s := spans[i]
			if s.match && i+1 < len(spans) && !spans[i+1].match {
				s.end = spans[i+1].end
				i++
			}
			out = append(out, s)
		}
		return out
	}
	return spans
}

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

// spacePrefixStep puts a space before every part that has none.
type spacePrefixStep struct{}

func (spacePrefixStep) split(s section, yield func(section)) {
	if s.text[0] != ' ' {
		s.text = " " + s.text
	}
	yield(s)
}

// byteLettersStep writes every byte as the letter that stands for it in byte-level vocabularies.
type byteLettersStep struct{}

func (byteLettersStep) split(s section, yield func(section)) {
	s.text = bytesToLetters(s.text)
	yield(s)
}

// metaspaceStep writes spaces as a letter and makes that letter begin a word.
type metaspaceStep struct {
	replacement string // one character
	prepend     string // "always", "first" (only where the text begins) or "never"
	cut         bool   // whether to split before every replacement
}

func (m metaspaceStep) split(s section, yield func(section)) {
	s.text = strings.ReplaceAll(s.text, " ", m.replacement)
	if !strings.HasPrefix(s.text, m.replacement) && (m.prepend == "always" || m.prepend == "first" && s.first) {
		s.text = m.replacement + s.text
	}
	if !m.cut {
		yield(s)
		return
	}
	patternStep{find: findString(m.replacement), to: mergedNext}.split(s, yield)
}
