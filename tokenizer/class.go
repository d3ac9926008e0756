package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is a set of the character properties that splitting patterns ask for.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s
	newline                   // \r \n
	upper                     // \p{Lu} \p{Lt} \p{Lm} \p{Lo} \p{M}
	lower                     // \p{Ll} \p{Lm} \p{Lo} \p{M}
	han                       // \p{Han}
)

// classPages holds the class of every character, 256 to a page; pages of equal content that is all zero are nil.
type classPages [(unicode.MaxRune + 1) >> 8]*[256]class

var classes = sync.OnceValue(func() *classPages {
	p := new(classPages)
	mark := func(t *unicode.RangeTable, c class) {
		each := func(lo, hi, stride uint32) {
			for r := lo; r <= hi; r += stride {
				if p[r>>8] == nil {
					p[r>>8] = new([256]class)
				}
				p[r>>8][r&0xff] |= c
			}
		}
		for _, r := range t.R16 {
			each(uint32(r.Lo), uint32(r.Hi), uint32(r.Stride))
		}
		for _, r := range t.R32 {
			each(r.Lo, r.Hi, r.Stride)
		}
	}
	mark(unicode.L, letter)
	mark(unicode.N, number)
	mark(unicode.White_Space, space)
	for _, t := range []*unicode.RangeTable{unicode.Lm, unicode.Lo, unicode.M} {
		mark(t, upper|lower)
	}
	mark(unicode.Lu, upper)
	mark(unicode.Lt, upper)
	mark(unicode.Ll, lower)
	mark(unicode.Han, han)
	p[0]['\r'] |= newline
	p[0]['\n'] |= newline
	return p
})

// at returns the class and the size in bytes of the character of s at i; 0, 0 at its end.
func (p *classPages) at(s string, i int) (class, int) {
	if i >= len(s) {
		return 0, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return p[0][c], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	page := p[r>>8]
	if page == nil {
		return 0, n
	}
	return page[r&0xff], n
}

// run returns the end of the characters from i on that have any property of c.
func (p *classPages) run(s string, i int, c class) int {
	for {
		k, n := p.at(s, i)
		if k&c == 0 {
			return i
		}
		i += n
	}
}
