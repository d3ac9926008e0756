package jinja

import (
	"slices"
)

// Bounds of a template.
const (
	maxSource = 1 << 20 // bytes
	maxNest   = 200     // expressions and statements in one another
)

// parser builds the tree of a template from its tokens.
type parser struct {
	tokens  []token
	pos     int
	depth   int
	loops   int          // for loops around, within a macro
	soft    int          // depth in branches that may not run: unknown filters and tests fail only when they do
	unknown []*Error     // filters and tests that do not exist, outside such branches
	uses    []*macroNode // macros being parsed, innermost last: they learn which special names they use
}

// parse returns the tree of a template.
func parse(source string) (tree []node, err error) {
	defer catch(&err)
	if len(source) > maxSource {
		fail(1, "the template has %d bytes: at most %d", len(source), maxSource)
	}
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	tree = p.statements()
	if len(p.unknown) > 0 {
		panic(p.unknown[0])
	}
	return tree, nil
}

func (p *parser) peek() token { return p.tokens[p.pos] }
func (p *parser) line() int   { return p.peek().line }

func (p *parser) take() token {
	t := p.tokens[p.pos]
	if t.kind != eof {
		p.pos++
	}
	return t
}

// at tells whether the next token is of kind k, with that text unless it is "".
func (p *parser) at(k kind, text string) bool {
	t := p.peek()
	return t.kind == k && (text == "" || t.text == text)
}

func (p *parser) skip(k kind, text string) bool {
	if p.at(k, text) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(k kind, text string) token {
	if !p.at(k, text) {
		want := token{kind: k, text: text}.String()
		if k == name && text == "" {
			want = "a name"
		}
		fail(p.line(), "expected %s, got %s", want, p.peek())
	}
	return p.take()
}

// enter counts nesting; the caller defers leave.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNest {
		fail(p.line(), "nested more than %d deep", maxNest)
	}
}
func (p *parser) leave() { p.depth-- }

// statements parses up to a tag of one of the names, which is left with its name as the next token, or to the end.
func (p *parser) statements(ends ...string) []node {
	p.enter()
	defer p.leave()
	begin := 1
	if p.pos > 0 {
		begin = p.tokens[p.pos-1].line
	}
	var body []node
	for {
		switch t := p.take(); t.kind {
		case eof:
			if len(ends) > 0 {
				fail(begin, "unexpected end of template: no %q for this tag", ends[len(ends)-1])
			}
			return body
		case data:
			body = append(body, textNode{t.text})
		case varBegin:
			body = append(body, printNode{p.tuple(true, ""), t.line})
			p.expect(varEnd, "")
		case blockBegin:
			if p.peek().kind == name && slices.Contains(ends, p.peek().text) {
				return body
			}
			body = append(body, p.statement())
			p.expect(blockEnd, "")
		default:
			fail(t.line, "unexpected %s", t)
		}
	}
}

// block parses a body after its tag's end, and the name of the tag that ends it.
func (p *parser) block(ends ...string) ([]node, string) {
	p.expect(blockEnd, "")
	body := p.statements(ends...)
	return body, p.take().text
}

func (p *parser) statement() node {
	t := p.expect(name, "")
	switch t.text {
	case "if":
		return p.ifTag()
	case "for":
		return p.forTag(t.line)
	case "set":
		return p.setTag(t.line)
	case "macro":
		m := &macroNode{name: p.expect(name, "").text, line: t.line}
		p.signature(m)
		p.macroBody(m, "endmacro")
		return m
	case "call":
		m := &macroNode{name: "caller", line: t.line}
		if p.at(op, "(") {
			p.signature(m)
		}
		call, ok := p.expression().(*callExpr)
		if !ok {
			fail(t.line, "expected a call")
		}
		p.macroBody(m, "endcall")
		return &callNode{call, m, t.line}
	case "filter":
		filters := p.filters(nil, true)
		body, _ := p.block("endfilter")
		return &filterNode{filterChain(filters), body}
	case "with":
		return p.withTag(t.line)
	case "generation":
		body, _ := p.block("endgeneration")
		return &scopeNode{body}
	case "break", "continue":
		if p.loops == 0 {
			fail(t.line, "%s outside a loop", t.text)
		}
		if t.text == "break" {
			return jumpNode{breaking}
		}
		return jumpNode{continuing}
	}
	fail(t.line, "unknown tag %q", t.text)
	return nil
}

func (p *parser) ifTag() node {
	n := new(ifNode)
	p.soft++
	defer func() { p.soft-- }()
	for {
		n.tests = append(n.tests, p.tupleWithout(""))
		body, end := p.block("elif", "else", "endif")
		n.bodies = append(n.bodies, body)
		switch end {
		case "else":
			n.otherwise, _ = p.block("endif")
			return n
		case "endif":
			return n
		}
	}
}

func (p *parser) forTag(line int) node {
	n := &forNode{line: line, target: p.target("in")}
	p.expect(name, "in")
	n.iter = p.tupleWithout("recursive")
	if p.skip(name, "if") {
		n.filter = p.expression()
	}
	n.recursive = p.skip(name, "recursive")
	p.loops++
	body, end := p.block("else", "endfor")
	p.loops--
	n.body = body
	if end == "else" {
		n.otherwise, _ = p.block("endfor")
	}
	return n
}

func (p *parser) setTag(line int) node {
	to := p.target("")
	if p.skip(op, "=") {
		return &setNode{to, p.tuple(true, ""), line}
	}
	filters := filterChain(p.filters(nil, false))
	body, _ := p.block("endset")
	return &setBlockNode{to, body, filters, line}
}

func (p *parser) withTag(line int) node {
	n := &withNode{line: line}
	for !p.at(blockEnd, "") {
		if len(n.targets) > 0 {
			p.expect(op, ",")
		}
		t := p.expect(name, "")
		n.targets = append(n.targets, target{name: t.text, line: t.line})
		p.expect(op, "=")
		n.values = append(n.values, p.expression())
	}
	n.body, _ = p.block("endwith")
	return n
}

// signature parses a macro's parameters.
func (p *parser) signature(m *macroNode) {
	p.expect(op, "(")
	for !p.at(op, ")") {
		if len(m.params) > 0 {
			p.expect(op, ",")
		}
		m.params = append(m.params, p.expect(name, "").text)
		if p.skip(op, "=") {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			fail(p.line(), "a parameter without default follows one with a default")
		}
	}
	p.expect(op, ")")
}

func (p *parser) macroBody(m *macroNode, end string) {
	p.uses = append(p.uses, m)
	loops := p.loops
	p.loops = 0
	m.body, _ = p.block(end)
	p.loops = loops
	p.uses = p.uses[:len(p.uses)-1]
}

// target parses what a set or a for assigns to; end is the name that follows a trailing comma.
func (p *parser) target(end string) target {
	first := p.oneTarget()
	if !p.at(op, ",") {
		return first
	}
	all := target{items: []target{first}, line: first.line}
	for p.skip(op, ",") {
		if end != "" && p.at(name, end) || p.at(op, "=") || p.at(op, ")") {
			break
		}
		all.items = append(all.items, p.oneTarget())
	}
	return all
}

func (p *parser) oneTarget() target {
	p.enter()
	defer p.leave()
	if p.skip(op, "(") {
		t := p.target("")
		if t.items == nil {
			t = target{items: []target{t}, line: t.line}
		}
		p.expect(op, ")")
		return t
	}
	t := p.expect(name, "")
	switch t.text {
	case "true", "false", "none", "True", "False", "None", "loop":
		fail(t.line, "cannot assign to %q", t.text)
	}
	to := target{name: t.text, line: t.line}
	if p.skip(op, ".") {
		to.attr = p.expect(name, "").text
	}
	return to
}

// filterChain returns the filters of an expression in the order in which they apply.
func filterChain(x expr) []*filterExpr {
	var chain []*filterExpr
	for f, ok := x.(*filterExpr); ok; f, ok = f.x.(*filterExpr) {
		chain = append(chain, f)
	}
	slices.Reverse(chain)
	return chain
}
