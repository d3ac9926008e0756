package jinja

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	eof kind = iota
	data
	varBegin
	varEnd
	blockBegin
	blockEnd
	name
	str
	integer
	float
	op
)

type token struct {
	kind kind
	text string // of a string literal: its value
	line int
}

func (t token) String() string {
	switch t.kind {
	case eof:
		return "the end of the template"
	case data:
		return "template data"
	case varBegin, varEnd:
		return "print statement"
	case blockBegin, blockEnd:
		return "statement block"
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer cuts a template into tokens.
type lexer struct {
	src    string
	pos    int
	line   int
	tokens []token
	// lineStart tells whether what has been consumed ends a line, so that white space before a tag can be stripped.
	lineStart bool
}

// operators, the longer ones first.
var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

// lex returns the tokens of source, the last one eof.
func lex(source string) (tokens []token, err error) {
	defer catch(&err)
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	source = strings.TrimSuffix(source, "\n") // Jinja2's keep_trailing_newline is off
	l := &lexer{src: source, line: 1, lineStart: true}
	for l.pos < len(l.src) {
		l.text()
	}
	l.emit(eof, "")
	return l.tokens, nil
}

func (l *lexer) emit(k kind, text string) { l.tokens = append(l.tokens, token{k, text, l.line}) }

// advance consumes n bytes.
func (l *lexer) advance(n int) {
	if n == 0 {
		return
	}
	part := l.src[l.pos : l.pos+n]
	l.line += strings.Count(part, "\n")
	l.lineStart = part[len(part)-1] == '\n'
	l.pos += n
}

// text consumes text up to a tag, and the tag.
func (l *lexer) text() {
	rest := l.src[l.pos:]
	at := len(rest)
	for i := 0; i+1 < len(rest); i++ {
		if rest[i] == '{' && (rest[i+1] == '{' || rest[i+1] == '%' || rest[i+1] == '#') {
			at = i
			break
		}
	}
	if at == len(rest) {
		l.emit(data, rest)
		l.advance(at)
		return
	}
	l.before(at, rest[at+1] == '{')
	switch rest[at+1] {
	case '{':
		l.emit(varBegin, "")
		l.advance(2 + len(sign(rest[at+2:])))
		l.expression("}}")
	case '#':
		l.comment()
	default:
		if n := tagEnd(rest[at:], "raw", false); n > 0 {
			l.raw(n)
			return
		}
		l.emit(blockBegin, "")
		l.advance(2 + len(sign(rest[at+2:])))
		l.expression("%}")
	}
}

// sign returns the white-space control at the start of s.
func sign(s string) string {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[:1]
	}
	return ""
}

// before emits the at bytes of text before a tag, stripped as the tag asks.
func (l *lexer) before(at int, variable bool) {
	text := l.src[l.pos : l.pos+at]
	switch control := sign(l.src[l.pos+at+2:]); {
	case control == "-":
		text = strings.TrimRightFunc(text, isSpace)
	case control == "" && !variable:
		start := strings.LastIndexByte(text, '\n') + 1
		if (start > 0 || l.lineStart) && strings.TrimFunc(text[start:], isSpace) == "" {
			text = text[:start]
		}
	}
	if text != "" {
		l.emit(data, text)
	}
	l.advance(at)
}

// isSpace is Python's str.isspace for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// spaceEnd returns the length of the white space at the start of s.
func spaceEnd(s string) int { return len(s) - len(strings.TrimLeftFunc(s, isSpace)) }

// closing returns the length of a tag's end (-%}, +%}, %}) at the start of s, with the white space it takes along: 0 if
// there is none. Of a variable's end there is no + form, and it takes no line break along.
func closing(s, end string, variable bool) int {
	switch {
	case strings.HasPrefix(s, "-"+end):
		n := 1 + len(end)
		return n + spaceEnd(s[n:])
	case !variable && strings.HasPrefix(s, "+"+end):
		return 1 + len(end)
	case strings.HasPrefix(s, end):
		if n := len(end); !variable && strings.HasPrefix(s[n:], "\n") {
			return n + 1
		}
		return len(end)
	}
	return 0
}

// tagEnd returns the length of the tag {% word %} at the start of s, 0 if another is there.
func tagEnd(s, word string, trim bool) int {
	n := 2 + len(sign(s[2:]))
	n += spaceEnd(s[n:])
	if !strings.HasPrefix(s[n:], word) {
		return 0
	}
	n += len(word)
	n += spaceEnd(s[n:])
	end := closing(s[n:], "%}", !trim)
	if end == 0 {
		return 0
	}
	return n + end
}

func (l *lexer) raw(begin int) {
	l.advance(begin)
	for at := l.pos; ; at += 2 {
		i := strings.Index(l.src[at:], "{%")
		if i < 0 {
			fail(l.line, "missing end of raw directive")
		}
		at += i
		if n := tagEnd(l.src[at:], "endraw", true); n > 0 {
			l.before(at-l.pos, false)
			l.advance(n)
			return
		}
	}
}

func (l *lexer) comment() {
	begin := 2 + len(sign(l.src[l.pos+2:]))
	end := strings.Index(l.src[l.pos+begin:], "#}")
	if end < 0 {
		fail(l.line, "missing end of comment tag")
	}
	end += begin
	if c := l.src[l.pos+end-1]; end > begin && (c == '-' || c == '+') {
		end--
	}
	l.advance(end + closing(l.src[l.pos+end:], "#}", false))
}

// expression consumes the tokens of a tag and its end.
func (l *lexer) expression(end string) {
	line := l.line
	var open []byte // brackets to close
	for {
		l.advance(spaceEnd(l.src[l.pos:]))
		rest := l.src[l.pos:]
		if rest == "" {
			fail(line, "the tag is not closed")
		}
		if len(open) == 0 {
			if n := closing(rest, end, end == "}}"); n > 0 {
				l.emit(map[string]kind{"}}": varEnd, "%}": blockEnd}[end], "")
				l.advance(n)
				return
			}
		}
		r, _ := utf8.DecodeRuneInString(rest)
		switch {
		case r >= '0' && r <= '9':
			l.number(rest)
		case r == '_' || unicode.IsLetter(r):
			n := strings.IndexFunc(rest, func(r rune) bool {
				return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r)
			})
			if n < 0 {
				n = len(rest)
			}
			l.emit(name, rest[:n])
			l.advance(n)
		case r == '\'' || r == '"':
			l.quoted(rest)
		default:
			open = l.operator(rest, open)
		}
	}
}

func (l *lexer) operator(rest string, open []byte) []byte {
	for _, o := range operators {
		if !strings.HasPrefix(rest, o) {
			continue
		}
		switch o {
		case "(", "[", "{":
			open = append(open, map[string]byte{"(": ')', "[": ']', "{": '}'}[o])
		case ")", "]", "}":
			if len(open) == 0 {
				fail(l.line, "unexpected %q", o)
			}
			if open[len(open)-1] != o[0] {
				fail(l.line, "unexpected %q, expected %q", o, string(open[len(open)-1]))
			}
			open = open[:len(open)-1]
		}
		l.emit(op, o)
		l.advance(len(o))
		return open
	}
	r, _ := utf8.DecodeRuneInString(rest)
	fail(l.line, "unexpected character %q", r)
	return nil
}

// number consumes an integer (also 0x, 0o, 0b, and with _ between digits) or a float.
func (l *lexer) number(s string) {
	digits := func(i int, set string) int {
		for i < len(s) && (strings.IndexByte(set, s[i]) >= 0 || s[i] == '_' && i+1 < len(s) && strings.IndexByte(set, s[i+1]) >= 0) {
			i++
		}
		return i
	}
	const decimal = "0123456789"
	if s[0] == '0' && len(s) > 2 {
		set := map[byte]string{'x': decimal + "abcdefABCDEF", 'o': "01234567", 'b': "01"}[s[1]|0x20]
		if n := digits(2, set); set != "" && n > 2 {
			l.emit(integer, s[:n])
			l.advance(n)
			return
		}
	}
	n := digits(0, decimal)
	k := integer
	if n+1 < len(s) && s[n] == '.' && strings.IndexByte(decimal, s[n+1]) >= 0 {
		n, k = digits(n+1, decimal), float
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		m := n + 1
		if m < len(s) && (s[m] == '+' || s[m] == '-') {
			m++
		}
		if e := digits(m, decimal); e > m {
			n, k = e, float
		}
	}
	l.emit(k, s[:n])
	l.advance(n)
}

// quoted consumes a string literal.
func (l *lexer) quoted(s string) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			l.emit(str, l.unescape(s[1:i]))
			l.advance(i + 1)
			return
		}
	}
	fail(l.line, "a string is not closed")
}

// unescape resolves Python's escapes; a backslash before anything else stays.
func (l *lexer) unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		size := 0
		switch c := s[i]; c {
		case '\n':
		case '\\', '\'', '"':
			b.WriteByte(c)
		case 'a', 'b', 'f', 'n', 'r', 't', 'v':
			b.WriteByte(map[byte]byte{'a': 7, 'b': 8, 'f': 12, 'n': 10, 'r': 13, 't': 9, 'v': 11}[c])
		case 'x':
			size = 2
		case 'u':
			size = 4
		case 'U':
			size = 8
		case '0', '1', '2', '3', '4', '5', '6', '7':
			r, n := rune(0), 0
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				r = r*8 + rune(s[i+n]-'0')
				n++
			}
			b.WriteRune(r)
			i += n - 1
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
		}
		if size > 0 {
			var r rune
			if len(s)-i-1 < size {
				fail(l.line, "truncated escape in a string")
			}
			if _, err := fmt.Sscanf(s[i+1:i+1+size], "%x", &r); err != nil || strings.Trim(s[i+1:i+1+size], "0123456789abcdefABCDEF") != "" {
				fail(l.line, "broken escape in a string")
			}
			b.WriteRune(r)
			i += size
		}
	}
	return b.String()
}
