package jinja

import (
	"fmt"
)

func (p *parser) postfix(x expr) expr {
	for {
		switch t := p.peek(); {
		case p.skip(op, "."):
			if p.at(integer, "") {
				i := p.primary()
				x = &itemExpr{x, i, t.line}
			} else {
				x = &attrExpr{x, p.expect(name, "").text, t.line}
			}
		case p.skip(op, "["):
			x = p.subscript(x, t.line)
		case p.at(op, "("):
			x = &callExpr{x, p.arguments(), t.line}
		default:
			return x
		}
	}
}

// subscript parses what stands in brackets after x.
func (p *parser) subscript(x expr, line int) expr {
	var parts [3]expr
	n := 0
	for !p.at(op, "]") && n < 3 {
		if p.skip(op, ":") {
			n++
			continue
		}
		if parts[n] != nil {
			fail(p.line(), "unexpected %s", p.peek())
		}
		parts[n] = p.expression()
		if n == 0 && p.at(op, ",") {
			t := &tupleExpr{[]expr{parts[0]}}
			for p.skip(op, ",") {
				if p.at(op, "]") {
					break
				}
				t.items = append(t.items, p.expression())
			}
			parts[0] = t
			break
		}
	}
	p.expect(op, "]")
	if n == 0 {
		if parts[0] == nil {
			fail(line, "expected a subscript")
		}
		return &itemExpr{x, parts[0], line}
	}
	return &sliceExpr{x, parts[0], parts[1], parts[2], line}
}

// filtered parses the filters, tests and calls after x.
func (p *parser) filtered(x expr) expr {
	for {
		switch {
		case p.at(op, "|"):
			x = p.filters(x, false)
		case p.at(name, "is"):
			x = p.test(x)
		case p.at(op, "("):
			x = &callExpr{x, p.arguments(), p.line()}
		default:
			return x
		}
	}
}

// filters parses |name(arguments), several in a row; inline means that the first | has been left out.
func (p *parser) filters(x expr, inline bool) expr {
	for inline || p.skip(op, "|") {
		inline = false
		t := p.expect(name, "")
		f := &filterExpr{x: x, name: p.dotted(t.text), line: t.line}
		_, known := filters[f.name]
		p.check(known, t.line, "filter", f.name)
		if p.at(op, "(") {
			f.args = p.arguments()
		}
		x = f
	}
	return x
}

// check notes a filter or a test that does not exist.
func (p *parser) check(known bool, line int, what, name string) {
	if !known && p.soft == 0 {
		p.unknown = append(p.unknown, &Error{Line: line, Message: fmt.Sprintf("no %s named %q", what, name)})
	}
}

func (p *parser) dotted(s string) string {
	for p.skip(op, ".") {
		s += "." + p.expect(name, "").text
	}
	return s
}

func (p *parser) test(x expr) expr {
	p.expect(name, "is")
	t := &testExpr{x: x, negate: p.skip(name, "not")}
	n := p.expect(name, "")
	t.name, t.line = p.dotted(n.text), n.line
	_, known := tests[t.name]
	p.check(known, n.line, "test", t.name)
	switch k := p.peek(); {
	case k.kind == op && k.text == "(":
		t.args = p.arguments()
	case k.kind == name && (k.text == "else" || k.text == "or" || k.text == "and"):
	case k.kind == name && k.text == "is":
		fail(k.line, "tests cannot be chained with is")
	case k.kind == name, k.kind == str, k.kind == integer, k.kind == float, k.kind == op && (k.text == "[" || k.text == "{"):
		t.args.positional = []expr{p.postfix(p.primary())}
	}
	return t
}

// arguments parses the arguments of a call, brackets included.
func (p *parser) arguments() arguments {
	var a arguments
	p.expect(op, "(")
	p.sequence(")", func() expr {
		switch t := p.peek(); {
		case p.skip(op, "**"):
			if a.double != nil {
				fail(t.line, "** twice in a call")
			}
			a.double = p.expression()
		case p.skip(op, "*"):
			if a.star != nil || a.double != nil {
				fail(t.line, "* out of place in a call")
			}
			a.star = p.expression()
		case t.kind == name && p.tokens[p.pos+1].kind == op && p.tokens[p.pos+1].text == "=":
			p.pos += 2
			if a.double != nil {
				fail(t.line, "an argument follows **")
			}
			a.names = append(a.names, t.text)
			a.named = append(a.named, p.expression())
		default:
			if a.star != nil || a.double != nil || len(a.names) > 0 {
				fail(t.line, "a positional argument follows others")
			}
			a.positional = append(a.positional, p.expression())
		}
		return nil
	})
	return a
}
