package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Byte-level vocabularies spell bytes as letters, a scheme of GPT-2's: printable bytes of Latin-1 stand for themselves,
// the others for the letters from U+0100 on, in order.

// letterOf is the letter that stands for a byte.
var letterOf = func() (l [256]rune) {
	next := rune(0x100)
	for b := range l {
		switch {
		case b >= '!' && b <= '~', b >= 0xa1 && b <= 0xac, b >= 0xae:
			l[b] = rune(b)
		default:
			l[b] = next
			next++
		}
	}
	return l
}()

// byteOf is the inverse of letterOf, -1 for other characters.
var byteOf = func() (b [0x144]int16) {
	for i := range b {
		b[i] = -1
	}
	for c, r := range letterOf {
		b[r] = int16(c)
	}
	return b
}()

func bytesToLetters(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := range len(s) {
		b.WriteRune(letterOf[s[i]])
	}
	return b.String()
}

// lettersToBytes returns the bytes that s spells; false if a character of s stands for none.
func lettersToBytes(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if int(r) >= len(byteOf) || byteOf[r] < 0 {
			return "", false
		}
		b = append(b, byte(byteOf[r]))
	}
	return string(b), true
}

// byteToken returns the byte that a token such as <0x0A> stands for.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	hi, ok1 := hexDigit(s[3])
	lo, ok2 := hexDigit(s[4])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// validPrefix looks at the first character of b, which is not empty: ok with its size; or not ok with the size of the longest
// part that could begin a character (at least 1), which as a whole counts as one U+FFFD (the Unicode Standard, table 3-8).
// more tells that b ends before that can be decided.
func validPrefix(b []byte) (n int, ok, more bool) {
	if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n == 3 {
		return n, true, false
	}
	c := b[0]
	need, lo, hi := 0, byte(0x80), byte(0xbf)
	switch {
	case c >= 0xc2 && c <= 0xdf:
		need = 2
	case c >= 0xe0 && c <= 0xef:
		need = 3
		if c == 0xe0 {
			lo = 0xa0
		} else if c == 0xed {
			hi = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 4
		if c == 0xf0 {
			lo = 0x90
		} else if c == 0xf4 {
			hi = 0x8f
		}
	}
	for n = 1; n < need; n++ {
		if n == len(b) {
			return n, false, true
		}
		if b[n] < lo || b[n] > hi {
			break
		}
		lo, hi = 0x80, 0xbf
	}
	return n, false, false
}
