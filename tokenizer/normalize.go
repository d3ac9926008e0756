package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites text before it is split. Its input is never empty.
type normalizer func(string) string

// chain runs normalizers in order.
func chain(steps []normalizer) normalizer {
	return func(s string) string {
		for _, n := range steps {
			if s != "" {
				s = n(s)
			}
		}
		return s
	}
}

func prepend(p string) normalizer { return func(s string) string { return p + s } }

func replaceAll(old, with string) normalizer {
	return func(s string) string { return strings.ReplaceAll(s, old, with) }
}

func strip(left, right bool) normalizer {
	return func(s string) string {
		if left {
			s = strings.TrimLeftFunc(s, unicode.IsSpace)
		}
		if right {
			s = strings.TrimRightFunc(s, unicode.IsSpace)
		}
		return s
	}
}

// lowercase is Unicode's full mapping without context: the capital I with dot becomes two characters.
func lowercase(s string) string {
	s = strings.ReplaceAll(s, "\u0130", "i\u0307")
	return strings.ToLower(s)
}

// stripAccents drops the combining marks.
func stripAccents(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r) || unicode.Is(unicode.Me, r) {
			return -1
		}
		return r
	}, s)
}

// unicodeForm brings text to one of Unicode's normal forms (UAX 15). The library's own transformation puts U+034F into runs of
// more than 30 combining marks (UAX 15, section 13); such text takes the plain algorithm here instead.
func unicodeForm(form norm.Form) normalizer {
	return func(s string) string {
		if form.IsNormalString(s) && !longMarks(form, s) {
			return s
		}
		if !longMarks(form, s) {
			return form.String(s)
		}
		return normalizePlain(form, s)
	}
}

// longMarks tells whether s has so many combining marks in a row that the stream-safe format would break them up.
func longMarks(form norm.Form, s string) bool {
	const safe = 12 // characters; one decomposes to at most two marks and a bit, so this is well below 30
	run := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			run = 0
			i++
			continue
		}
		p := form.PropertiesString(s[i:])
		if p.CCC() != 0 || p.TrailCCC() != 0 {
			if run++; run > safe {
				return true
			}
		} else {
			run = 0
		}
		i += max(p.Size(), 1)
	}
	return false
}

// normalizePlain is UAX 15's definition: decompose, order the marks, and for the C forms compose.
func normalizePlain(form norm.Form, s string) string {
	decomposing := norm.NFD
	if form == norm.NFKC || form == norm.NFKD {
		decomposing = norm.NFKD
	}
	type mark struct {
		r   rune
		ccc uint8
	}
	var chars []mark
	for _, r := range s {
		for _, d := range decomposing.String(string(r)) { // one character, so nothing is broken up
			chars = append(chars, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(chars); {
		j := i + 1
		for j < len(chars) && chars[i].ccc != 0 && chars[j].ccc != 0 {
			j++
		}
		slices.SortStableFunc(chars[i:j], func(a, b mark) int { return int(a.ccc) - int(b.ccc) })
		i = j
	}
	if form == norm.NFC || form == norm.NFKC {
		out, starter, last := chars[:0], -1, uint8(0)
		for _, c := range chars {
			// c is blocked from the starter by a character between them that has no smaller class.
			if blocked := starter >= 0 && starter < len(out)-1 && last >= c.ccc; starter >= 0 && !blocked {
				if r, ok := composePair(out[starter].r, c.r); ok {
					out[starter].r = r
					continue
				}
			}
			if c.ccc == 0 {
				starter = len(out)
			}
			last = c.ccc
			out = append(out, c)
		}
		chars = out
	}
	var b strings.Builder
	for _, c := range chars {
		b.WriteRune(c.r)
	}
	return b.String()
}

// composePair returns the character that a and b compose to.
func composePair(a, b rune) (rune, bool) {
	s := norm.NFC.String(string([]rune{a, b}))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
