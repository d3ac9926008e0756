package tokenizer

import (
	"strings"
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
