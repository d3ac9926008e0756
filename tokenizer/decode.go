package tokenizer

import (
	"strings"
)

// Decoder turns ids into text one at a time. What it gives out is whole characters; what it cannot decide yet (the first
// bytes of a character, a run of byte tokens that may still turn out not to be UTF-8) it holds back until later ids or
// Flush decide. It belongs to one goroutine.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	steps       []decodeStage
	out         strings.Builder
}

// decodeStep is one decoder of the file; it makes the stage that keeps a Decoder's state.
type decodeStep func() decodeStage

// decodeStage takes the tokens of a stream and passes on what it makes of them. Once a stage has fused the tokens into
// one, those behind it get that one token piece by piece.
type decodeStage interface {
	next(s string, emit func(string))
	flush(emit func(string)) // the stream has ended; the stage is as new after it
}

// NewDecoder returns a Decoder at the start of a text. skipSpecial leaves special tokens out.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	d := &Decoder{t: t, skipSpecial: skipSpecial}
	for _, s := range t.decode {
		d.steps = append(d.steps, s())
	}
	return d
}

// Next returns the text that id completes, which may be empty.
func (d *Decoder) Next(id int) string {
	token, ok := d.t.Token(id)
	if !ok || d.skipSpecial && d.t.special[id] {
		return ""
	}
	d.out.Reset()
	d.feed(0, token)
	return d.out.String()
}

// Flush returns what was held back, with U+FFFD for what is no character, and makes the decoder ready for another text.
func (d *Decoder) Flush() string {
	d.out.Reset()
	for i, s := range d.steps {
		s.flush(func(piece string) { d.feed(i+1, piece) })
	}
	return d.out.String()
}

func (d *Decoder) feed(step int, s string) {
	if step == len(d.steps) {
		d.out.WriteString(s)
		return
	}
	d.steps[step].next(s, func(piece string) { d.feed(step+1, piece) })
}
