package tokenizer

// wordPattern describes one of the splitting patterns that byte-level models are published with, whose alternatives
// between them match at every position. first finds what the regular expression would match there, without backtracking.
type wordPattern struct {
	gpt2   bool // GPT-2's pattern; the rest of the fields are the later ones'
	han    bool // [\p{Han}]+ before all, and no Han in words (Kimi)
	cased  bool // a word changes from upper to lower case once (o200k); else it is \p{L}+ (cl100k)
	short  bool // English contractions: before all else in cl100k's, at the end of a word in o200k's
	digits int  // longest run of numbers
	slash  bool // punctuation takes [\r\n/]* along instead of [\r\n]*
}

const (
	contraction = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// wordPatterns maps the text of a regular expression to its description.
var wordPatterns = func() map[string]*wordPattern {
	m := map[string]*wordPattern{gpt2Pattern: {gpt2: true}}
	for _, cased := range []bool{false, true} {
		for _, hanFirst := range []bool{false, true} {
			for _, short := range []bool{false, true} {
				for _, digits := range []int{1, 3} {
					for _, slash := range []bool{false, true} {
						if p := (wordPattern{han: hanFirst, cased: cased, short: short, digits: digits, slash: slash}); cased || !hanFirst {
							m[p.regex()] = &p
						}
					}
				}
			}
		}
	}
	return m
}()

// regex writes the pattern as published files do.
func (p wordPattern) regex() string {
	if p.gpt2 {
		return gpt2Pattern
	}
	words, numbers, breaks := `[^\r\n\p{L}\p{N}]?\p{L}+`, `\p{N}`, `[\r\n]*`
	if p.short {
		words = contraction + "|" + words
	}
	if p.cased {
		but, end := "", ""
		if p.han {
			but = `&&[^\p{Han}]`
		}
		if p.short {
			end = contraction + "?"
		}
		up, low := `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}`+but+`]`, `[\p{Ll}\p{Lm}\p{Lo}\p{M}`+but+`]`
		words = `[^\r\n\p{L}\p{N}]?` + up + `*` + low + `+` + end + `|[^\r\n\p{L}\p{N}]?` + up + `+` + low + `*` + end
	}
	if p.han {
		words = `[\p{Han}]+|` + words
	}
	if p.digits > 1 {
		numbers = `\p{N}{1,3}`
	}
	if p.slash {
		breaks = `[\r\n/]*`
	}
	return words + `|` + numbers + `| ?[^\s\p{L}\p{N}]+` + breaks + `|\s*[\r\n]+|\s+(?!\S)|\s+`
}

// first returns the length of the first word of s, which is not empty.
func (p *wordPattern) first(s string) int {
	cl := classes()
	if p.gpt2 {
		return firstGPT2(cl, s)
	}
	c, n := cl.at(s, 0)
	if p.han && c&han != 0 {
		return cl.run(s, n, han)
	}
	if p.cased {
		if end := p.casedWord(cl, s, c, n); end > 0 {
			return end
		}
	} else {
		if p.short {
			if end := contractionEnd(s, 0, true); end > 0 {
				return end
			}
		}
		if c&letter != 0 {
			return cl.run(s, n, letter)
		}
		if c&(number|newline) == 0 {
			if end := cl.run(s, n, letter); end > n {
				return end
			}
		}
	}
	if c&number != 0 {
		for i := 1; i < p.digits; i++ {
			c, k := cl.at(s, n)
			if c&number == 0 {
				break
			}
			n += k
		}
		return n
	}
	if end := punctuation(cl, s); end > 0 {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || p.slash && s[end] == '/') {
			end++
		}
		return end
	}
	return spaces(cl, s, true)
}

// casedWord matches the two word alternatives of o200k's pattern, 0 if neither does. c and n are the first character's.
func (p *wordPattern) casedWord(cl *classPages, s string, c class, n int) int {
	prefix := c&(letter|number|newline) == 0 // the optional character before the word; a mark can be either
	end := 0
	if prefix {
		end = p.lowerEnd(cl, s, n)
	}
	if end == 0 {
		end = p.lowerEnd(cl, s, 0)
	}
	if end == 0 && prefix {
		if e := p.caseRun(cl, s, n, upper); e > n {
			end = e
		}
	}
	if end == 0 {
		end = p.caseRun(cl, s, 0, upper)
	}
	if end > 0 && p.short {
		if e := contractionEnd(s, end, true); e > 0 {
			end = e
		}
	}
	return end
}

// lowerEnd matches upper* lower+ from i on: 0 if it does not match. Where no plain lower-case letter ends the run of upper,
// the run gives characters back until one that is both (a mark, a letter without case) can stand for lower+.
func (p *wordPattern) lowerEnd(cl *classPages, s string, i int) int {
	last := 0
	for {
		c, n := cl.at(s, i)
		if p.han && c&han != 0 {
			c = 0
		}
		if c&upper == 0 {
			if c&lower != 0 {
				return p.caseRun(cl, s, i, lower)
			}
			return last
		}
		i += n
		if c&lower != 0 {
			last = i
		}
	}
}

// caseRun is run without Han characters where the pattern leaves them out.
func (p *wordPattern) caseRun(cl *classPages, s string, i int, want class) int {
	for {
		c, n := cl.at(s, i)
		if c&want == 0 || p.han && c&han != 0 {
			return i
		}
		i += n
	}
}

// punctuation matches ` ?[^\s\p{L}\p{N}]+`, 0 if it does not match.
func punctuation(cl *classPages, s string) int {
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	i := start
	for {
		c, n := cl.at(s, i)
		if n == 0 || c&(space|letter|number) != 0 {
			break
		}
		i += n
	}
	if i == start {
		return 0
	}
	return i
}

// spaces matches `\s*[\r\n]+|\s+(?!\S)|\s+` (without the first alternative if !breaks): up to the last line break of the white
// space, else all of it if the text ends there, else all but its last character, which belongs to the next word.
func spaces(cl *classPages, s string, breaks bool) int {
	i, last, lastBreak := 0, 0, 0
	for {
		c, n := cl.at(s, i)
		if c&space == 0 {
			break
		}
		last = i
		i += n
		if c&newline != 0 {
			lastBreak = i
		}
	}
	switch {
	case breaks && lastBreak > 0:
		return lastBreak
	case i < len(s) && last > 0:
		return last
	}
	return i
}

func firstGPT2(cl *classPages, s string) int {
	if end := contractionEnd(s, 0, false); end > 0 {
		return end
	}
	i := 0
	if s[0] == ' ' {
		i = 1
	}
	for _, c := range []class{letter, number} {
		if end := cl.run(s, i, c); end > i {
			return end
		}
	}
	if end := punctuation(cl, s); end > 0 {
		return end
	}
	return spaces(cl, s, false)
}

// contractionEnd matches 's 't 're 've 'm 'll 'd at i and returns its end, 0 if there is none. fold ignores case, by which
// the long s (U+017F) is an s too, as in the regular expression library that the Hugging Face library uses.
func contractionEnd(s string, i int, fold bool) int {
	if i+1 >= len(s) || s[i] != '\'' {
		return 0
	}
	low := func(k int) byte {
		if k >= len(s) {
			return 0
		}
		if c := s[k]; fold && c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return s[k]
	}
	switch low(i + 1) {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if low(i+2) == 'e' {
			return i + 3
		}
	case 'l':
		if low(i+2) == 'l' {
			return i + 3
		}
	case 0xc5:
		if fold && low(i+2) == 0xbf {
			return i + 3
		}
	}
	return 0
}
