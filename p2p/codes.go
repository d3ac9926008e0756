package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"shoal/experts"
	"shoal/proto/shoalpb"
)

// maxDetail is the longest text, in bytes, that an error brings across the wire.
const maxDetail = 1024

// wireErrors pairs the numbers of the protocol with the errors that callers branch on.
var wireErrors = []struct {
	code shoalpb.Code
	err  error
}{
	{shoalpb.Code_CODE_NOT_HELD, experts.ErrNotHeld},
	{shoalpb.Code_CODE_BUSY, experts.ErrBusy},
	{shoalpb.Code_CODE_WRONG_MODEL, experts.ErrWrongModel},
	{shoalpb.Code_CODE_TOO_LARGE, experts.ErrTooLarge},
	{shoalpb.Code_CODE_BAD_REQUEST, experts.ErrBadRequest},
	{shoalpb.Code_CODE_DEADLINE, experts.ErrDeadline},
	{shoalpb.Code_CODE_INTERNAL, experts.ErrInternal},
}

// codeOf is the number that stands for err, and what to say of it.
func codeOf(err error) (shoalpb.Code, string) {
	if errors.Is(err, context.DeadlineExceeded) {
		return shoalpb.Code_CODE_DEADLINE, clip(err.Error())
	}
	for _, w := range wireErrors {
		if errors.Is(err, w.err) {
			return w.code, clip(err.Error())
		}
	}
	return shoalpb.Code_CODE_INTERNAL, clip(err.Error())
}

// errorOf is the error that a number stands for. A number that this version does not know is the peer's failure.
func errorOf(code shoalpb.Code, detail string) error {
	for _, w := range wireErrors {
		if w.code == code {
			// The peer's text begins with the error's own words more often than not.
			detail = strings.TrimPrefix(detail, w.err.Error()+": ")
			if detail == "" || detail == w.err.Error() {
				return w.err
			}
			return fmt.Errorf("%w: %s", w.err, printable(detail))
		}
	}
	return fmt.Errorf("%w: error number %d, which this version does not know: %s", experts.ErrInternal, code, printable(detail))
}

// clip shortens text to what may cross the wire, as valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxDetail {
		return s
	}
	s = s[:maxDetail]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// printable takes out of a peer's text what could trick a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}
