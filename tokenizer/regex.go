package tokenizer

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// regexTimeout bounds the backtracking of a file's own pattern over one section of text.
const regexTimeout = 20 * time.Second

// regex is a pattern of the Hugging Face library's (Oniguruma's Ruby syntax), run by a backtracking engine.
type regex struct{ re *regexp2.Regexp }

func compileRegex(pattern string) (*regex, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("pattern of %d bytes: at most %d", len(pattern), maxPattern)
	}
	translated, err := translateRegex(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re, err := compileGuarded(translated)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	re.MatchTimeout = regexTimeout
	return &regex{re}, nil
}

// compileGuarded compiles a pattern from a file. The engine's parser is not ours, so a panic in it is an error too.
func compileGuarded(pattern string) (re *regexp2.Regexp, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("does not compile: %v", p)
		}
	}()
	return regexp2.Compile(pattern, regexp2.Multiline) // in Ruby's syntax ^ and $ are the bounds of lines
}

// find returns all of s in order, matches and what lies between. A pattern that runs out of its time matches no further.
func (r *regex) find(s string) []span {
	var spans []span
	runes := []rune(s)
	at, rune0 := 0, 0          // the same place in bytes and in characters
	size := func(to int) int { // of the characters up to the one numbered to
		n := 0
		for _, c := range runes[rune0:to] {
			n += utf8.RuneLen(c)
		}
		rune0 = to
		return n
	}
	for m, err := r.re.FindRunesMatch(runes); m != nil && err == nil; m, err = r.re.FindNextMatch(m) {
		if n := size(m.Index); n > 0 {
			spans = append(spans, span{at, at + n, false})
			at += n
		}
		if n := size(m.Index + m.Length); n > 0 {
			spans = append(spans, span{at, at + n, true})
			at += n
		}
	}
	if at < len(s) {
		spans = append(spans, span{at, len(s), false})
	}
	return spans
}

// replace returns s with every match replaced by content, which is taken literally.
func (r *regex) replace(s, content string) string {
	var b strings.Builder
	for _, p := range r.find(s) {
		if p.match {
			b.WriteString(content)
		} else {
			b.WriteString(s[p.start:p.end])
		}
	}
	return b.String()
}
