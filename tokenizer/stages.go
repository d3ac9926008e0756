package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// stateless is a stage that maps every token by itself.
type stateless func(string) string

func (f stateless) next(s string, emit func(string)) { emit(f(s)) }

func (stateless) flush(func(string)) {}

func mapTokens(f func(string) string) decodeStep {
	return func() decodeStage { return stateless(f) }
}

// whole is a stage that needs the fused text in one piece.
type whole struct {
	f func(string) string
	b strings.Builder
}

func (w *whole) next(s string, _ func(string)) { w.b.WriteString(s) }

func (w *whole) flush(emit func(string)) {
	if w.b.Len() > 0 {
		emit(w.f(w.b.String()))
	}
	w.b.Reset()
}

// joined is the stage of a file without decoders: tokens with spaces between.
type joined struct{ started bool }

func (j *joined) next(s string, emit func(string)) {
	if j.started {
		s = " " + s
	}
	j.started = true
	emit(s)
}

func (j *joined) flush(func(string)) { j.started = false }

// byteLevel turns letters into the bytes they stand for and the bytes into characters. A token with a character that stands
// for no byte (an added token, mostly) is taken as it is.
type byteLevel struct{ held []byte }

func (b *byteLevel) next(s string, emit func(string)) {
	if raw, ok := lettersToBytes(s); ok {
		s = raw
	}
	b.held = append(b.held, s...)
	if n := completeText(b.held); n > 0 {
		emit(repaired(b.held[:n]))
		b.held = append(b.held[:0], b.held[n:]...)
	}
}

func (b *byteLevel) flush(emit func(string)) {
	if len(b.held) > 0 {
		emit(repaired(b.held))
	}
	b.held = b.held[:0]
}

// completeText returns how much of b is decided: all but the beginning of a character at its end.
func completeText(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if c := b[len(b)-back]; c >= utf8.RuneSelf && utf8.RuneStart(c) {
			if n, _, more := validPrefix(b[len(b)-back:]); more && n == back {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

// repaired returns b as text, each longest beginning of a character that is not continued replaced by U+FFFD.
func repaired(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		n, ok, _ := validPrefix(b)
		if ok {
			s.Write(b[:n])
		} else {
			s.WriteRune(utf8.RuneError)
		}
		b = b[n:]
	}
	return s.String()
}

// byteFallback joins runs of byte tokens. A run that is UTF-8 becomes that text, any other one U+FFFD for each byte, so a run
// is decided only where it ends.
type byteFallback struct{ run []byte }

func (b *byteFallback) next(s string, emit func(string)) {
	if c, ok := byteToken(s); ok {
		b.run = append(b.run, c)
		return
	}
	b.flush(emit)
	emit(s)
}

func (b *byteFallback) flush(emit func(string)) {
	if len(b.run) == 0 {
		return
	}
	if utf8.Valid(b.run) {
		emit(string(b.run))
	} else {
		for range b.run {
			emit("\ufffd")
		}
	}
	b.run = b.run[:0]
}

// stripEnds takes up to start characters content from the start of each token, and up to stop from its end.
func stripEnds(content string, start, stop int) func(string) string {
	return func(s string) string {
		for i := 0; i < start && strings.HasPrefix(s, content); i++ {
			s = s[len(content):]
		}
		for i := 0; i < stop && strings.HasSuffix(s, content); i++ {
			s = s[:len(s)-len(content)]
		}
		return s
	}
}

// stripStream is stripEnds over a fused text, with stop 0.
type stripStream struct {
	content     string
	start, left int // left counts down from start until another character comes
}

func (p *stripStream) next(s string, emit func(string)) {
	for p.left > 0 && s != "" {
		if !strings.HasPrefix(s, p.content) {
			p.left = 0
			break
		}
		s = s[len(p.content):]
		p.left--
	}
	if s != "" {
		emit(s)
	}
}

func (p *stripStream) flush(func(string)) { p.left = p.start }

// metaspaceTokens is the Metaspace decoder: replacements become spaces, but vanish in the first token unless keep is set.
type metaspaceTokens struct {
	replacement string
	keep        bool
	fused       bool // all pieces are the first token
	started     bool
}

func (m *metaspaceTokens) next(s string, emit func(string)) {
	with := " "
	if !m.keep && (!m.started || m.fused) {
		with = ""
	}
	m.started = true
	emit(strings.ReplaceAll(s, m.replacement, with))
}

func (m *metaspaceTokens) flush(func(string)) { m.started = false }
