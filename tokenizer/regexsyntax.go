package tokenizer

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// translateRegex rewrites what the engine's syntax (.NET's) lacks: possessive quantifiers (X++ is (?>X+)), class
// intersection with a negated class ([a&&[^b]] is [a-[b]]), and letters that case folding joins to ASCII ones
// (U+017F to s, U+212A to k).
func translateRegex(pattern string) (string, error) {
	t := regexTranslator{in: pattern}
	if err := t.alternatives(0, false); err != nil {
		return "", err
	}
	if t.pos < len(t.in) {
		return "", fmt.Errorf("unmatched ) at byte %d", t.pos)
	}
	return t.out.String(), nil
}

type regexTranslator struct {
	in  string
	pos int
	out bytes.Buffer
}

// alternatives copies up to the ) that closes the group, or to the end.
func (t *regexTranslator) alternatives(depth int, fold bool) error {
	if depth > 100 {
		return fmt.Errorf("groups nested more than 100 deep")
	}
	for t.pos < len(t.in) && t.in[t.pos] != ')' {
		if t.in[t.pos] == '|' {
			t.out.WriteByte('|')
			t.pos++
			continue
		}
		start := t.out.Len()
		if err := t.atom(depth, &fold); err != nil {
			return err
		}
		quantifier := t.quantifier()
		if simple, possessive := strings.CutSuffix(quantifier, "+"); possessive && simple != "" {
			atom := string(t.out.Bytes()[start:])
			t.out.Truncate(start)
			t.out.WriteString("(?>" + atom + simple + ")")
		} else {
			t.out.WriteString(quantifier)
		}
	}
	return nil
}

func (t *regexTranslator) quantifier() string {
	start := t.pos
	if t.pos == len(t.in) {
		return ""
	}
	switch t.in[t.pos] {
	case '*', '+', '?':
		t.pos++
		if t.pos < len(t.in) && (t.in[t.pos] == '+' || t.in[t.pos] == '?') {
			t.pos++
		}
	case '{':
		// {n,m}+ is not possessive in this syntax: the + repeats the whole, which a group says in any syntax.
		if end := strings.IndexByte(t.in[t.pos:], '}'); end > 1 && strings.Trim(t.in[t.pos+1:t.pos+end], "0123456789,") == "" {
			t.pos += end + 1
			if t.pos < len(t.in) && t.in[t.pos] == '?' {
				t.pos++
			}
		}
	}
	return t.in[start:t.pos]
}

func (t *regexTranslator) atom(depth int, fold *bool) error {
	c := t.in[t.pos]
	switch {
	case c == '(':
		return t.group(depth, fold)
	case c == '[':
		return t.class(*fold)
	case strings.HasPrefix(t.in[t.pos:], `\w`):
		t.out.WriteString("[" + wordClass + "]")
		t.pos++
	case strings.HasPrefix(t.in[t.pos:], `\W`):
		t.out.WriteString("[^" + wordClass + "]")
		t.pos++
	case c == '\\':
		return t.escape()
	case *fold && (c|0x20 == 's'):
		t.out.WriteString("[sS\u017f]")
	case *fold && (c|0x20 == 'k'):
		t.out.WriteString("[kK\u212a]")
	default:
		_, n := utf8.DecodeRuneInString(t.in[t.pos:])
		t.out.WriteString(t.in[t.pos : t.pos+n])
		t.pos += n
		return nil
	}
	t.pos++
	return nil
}

func (t *regexTranslator) escape() error {
	if t.pos+1 >= len(t.in) {
		return fmt.Errorf("ends in a backslash")
	}
	n := 2
	if c := t.in[t.pos+1]; (c == 'p' || c == 'P' || c == 'x') && t.pos+2 < len(t.in) && t.in[t.pos+2] == '{' {
		end := strings.IndexByte(t.in[t.pos:], '}')
		if end < 0 {
			return fmt.Errorf("unclosed %s at byte %d", t.in[t.pos:t.pos+3], t.pos)
		}
		n = end + 1
	} else if _, size := utf8.DecodeRuneInString(t.in[t.pos+1:]); size > 1 {
		n = 1 + size
	}
	t.out.WriteString(t.in[t.pos : t.pos+n])
	t.pos += n
	return nil
}

// group copies a group with its head: flags such as (?i: hold inside it, (?i) from there on.
func (t *regexTranslator) group(depth int, fold *bool) error {
	open := t.pos
	inner := *fold
	t.out.WriteByte('(')
	t.pos++
	if t.pos < len(t.in) && t.in[t.pos] == '?' {
		end := t.pos + 1
		for end < len(t.in) && strings.IndexByte("imsx-", t.in[end]) >= 0 {
			end++
		}
		if end < len(t.in) && end > t.pos+1 && (t.in[end] == ':' || t.in[end] == ')') {
			flags := t.in[t.pos+1 : end]
			on, off, _ := strings.Cut(flags, "-")
			if strings.Trim(on+off, "i") != "" {
				return fmt.Errorf("flags %q at byte %d are not supported", flags, t.pos)
			}
			set := on != ""
			t.out.WriteString(t.in[t.pos : end+1])
			t.pos = end + 1
			if t.in[end] == ')' {
				*fold = set
				return nil
			}
			inner = set
		} else {
			t.out.WriteByte('?')
			t.pos++
			for t.pos < len(t.in) && strings.IndexByte(":=!<>", t.in[t.pos]) >= 0 {
				t.out.WriteByte(t.in[t.pos])
				t.pos++
			}
		}
	}
	if err := t.alternatives(depth+1, inner); err != nil {
		return err
	}
	if t.pos >= len(t.in) {
		return fmt.Errorf("unclosed ( at byte %d", open)
	}
	t.out.WriteByte(')')
	t.pos++
	return nil
}

// wordClass is what \w means in the library's patterns; the engine's own \w is narrower.
const wordClass = `\p{L}\p{M}\p{N}\p{Pc}` + "\u24b6-\u24e9\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189"

// class copies a bracketed class. Of nested classes only &&[^...] at the end can be said in the engine's syntax.
func (t *regexTranslator) class(fold bool) error {
	open := t.pos
	t.out.WriteByte('[')
	t.pos++
	if t.pos < len(t.in) && t.in[t.pos] == '^' {
		t.out.WriteByte('^')
		t.pos++
	}
	start, members := t.out.Len(), t.pos
	for t.pos < len(t.in) {
		rest := t.in[t.pos:]
		first := t.pos == members
		switch {
		case rest[0] == ']' && !first:
			if fold {
				t.foldClass(start, t.in[members:t.pos])
			}
			t.out.WriteByte(']')
			t.pos++
			return nil
		case strings.HasPrefix(rest, `\w`):
			t.out.WriteString(wordClass)
			t.pos += 2
		case strings.HasPrefix(rest, `\W`):
			return fmt.Errorf(`\W in the class at byte %d is not supported`, open)
		case rest[0] == '\\':
			if err := t.escape(); err != nil {
				return err
			}
		case strings.HasPrefix(rest, "&&[^") && t.in[open+1] != '^' && !fold:
			return t.subtraction(open)
		case rest[0] == '[', strings.HasPrefix(rest, "&&"):
			return fmt.Errorf("%.2q in the class at byte %d is not supported", rest, open)
		default:
			if first && (rest[0] == ']' || rest[0] == '-') {
				t.out.WriteByte('\\')
			}
			t.out.WriteByte(rest[0])
			t.pos++
		}
	}
	return fmt.Errorf("unclosed [ at byte %d", open)
}

// subtraction writes &&[^...]] as -[...]].
func (t *regexTranslator) subtraction(open int) error {
	t.out.WriteString("-[")
	t.pos += len("&&[^")
	for t.pos < len(t.in) && t.in[t.pos] != ']' {
		switch c := t.in[t.pos]; {
		case c == '[':
			return fmt.Errorf("class nested two deep at byte %d", t.pos)
		case c == '\\':
			if err := t.escape(); err != nil {
				return err
			}
		default:
			t.out.WriteByte(c)
			t.pos++
		}
	}
	if !strings.HasPrefix(t.in[t.pos:], "]]") {
		return fmt.Errorf("class intersection at byte %d is not at the end of its class", open)
	}
	t.out.WriteString("]]")
	t.pos += 2
	return nil
}

// foldClass adds to the class, whose members were written from start on, what folds to a member among the ASCII letters.
func (t *regexTranslator) foldClass(start int, members string) {
	has := func(c byte) bool {
		for i := 0; i < len(members); i++ {
			switch {
			case members[i] == '\\':
				i++
			case i+2 < len(members) && members[i+1] == '-':
				for _, x := range []byte{c, c - 'a' + 'A'} {
					if x >= members[i] && x <= members[i+2] {
						return true
					}
				}
				i += 2
			case members[i]|0x20 == c:
				return true
			}
		}
		return false
	}
	extra := ""
	if has('s') {
		extra += "\u017f"
	}
	if has('k') {
		extra += "\u212a"
	}
	written := string(t.out.Bytes()[start:])
	t.out.Truncate(start)
	t.out.WriteString(extra + written)
}
