package jinja

import (
	"fmt"
	"strconv"
	"strings"
)

// expression parses a whole expression; the levels below it bind ever tighter.
func (p *parser) expression() expr { return p.conditional(true) }

func (p *parser) conditional(ifs bool) expr {
	p.enter()
	defer p.leave()
	unknown := len(p.unknown)
	x := p.or()
	for ifs && p.at(name, "if") {
		line := p.take().line
		p.unknown = p.unknown[:unknown] // x may not run
		p.soft++
		c := &condExpr{then: x, test: p.or(), line: line}
		if p.skip(name, "else") {
			c.otherwise = p.conditional(true)
		}
		p.soft--
		x = c
	}
	return x
}

// tuple parses an expression, or several with commas between as a tuple. end is a name that may follow a trailing comma.
func (p *parser) tuple(ifs bool, end string) expr {
	line := p.line()
	var items []expr
	comma := false
	for !p.tupleEnd(end) {
		items = append(items, p.conditional(ifs))
		if comma = p.skip(op, ","); !comma {
			break
		}
	}
	switch {
	case len(items) == 0:
		fail(line, "expected an expression, got %s", p.peek())
	case len(items) == 1 && !comma:
		return items[0]
	}
	return &tupleExpr{items}
}

// tupleWithout is tuple without conditional expressions, for places where an if follows.
func (p *parser) tupleWithout(end string) expr { return p.tuple(false, end) }

func (p *parser) tupleEnd(end string) bool {
	return p.at(varEnd, "") || p.at(blockEnd, "") || p.at(op, ")") || end != "" && p.at(name, end)
}

func (p *parser) or() expr {
	x := p.and()
	for p.skip(name, "or") {
		x = &logicExpr{false, x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.skip(name, "and") {
		x = &logicExpr{true, x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.skip(name, "not") {
		p.enter()
		defer p.leave()
		return &notExpr{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := &compareExpr{first: p.sum(), line: p.line()}
	for {
		t := p.peek()
		switch {
		case t.kind == op && (t.text == "==" || t.text == "!=" || t.text == "<" || t.text == "<=" || t.text == ">" || t.text == ">="):
			p.pos++
		case t.kind == name && t.text == "in":
			p.pos++
		case t.kind == name && t.text == "not" && p.tokens[p.pos+1].kind == name && p.tokens[p.pos+1].text == "in":
			p.pos += 2
			t.text = "not in"
		default:
			if len(c.ops) == 0 {
				return c.first
			}
			return c
		}
		c.ops = append(c.ops, t.text)
		c.rest = append(c.rest, p.sum())
	}
}

// binary parses a level of left-associative operators over the next level.
func (p *parser) binary(below func() expr, ops ...string) expr {
	x := below()
	for {
		t := p.peek()
		found := false
		for _, o := range ops {
			found = found || t.kind == op && t.text == o
		}
		if !found {
			return x
		}
		p.pos++
		x = &binaryExpr{t.text, x, below(), t.line}
	}
}

func (p *parser) sum() expr { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() expr {
	x := p.product()
	if !p.at(op, "~") {
		return x
	}
	c := &concatExpr{[]expr{x}}
	for p.skip(op, "~") {
		c.items = append(c.items, p.product())
	}
	return c
}

func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr   { return p.binary(func() expr { return p.unary(true) }, "**") }

func (p *parser) unary(filters bool) expr {
	p.enter()
	defer p.leave()
	var x expr
	if t := p.peek(); t.kind == op && (t.text == "-" || t.text == "+") {
		p.pos++
		x = &unaryExpr{t.text, p.unary(false), t.line}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filtered(x)
	}
	return x
}

func (p *parser) primary() expr {
	switch t := p.take(); t.kind {
	case name:
		switch t.text {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{nil}
		case "varargs", "kwargs", "caller":
			for i := len(p.uses) - 1; i >= 0; i-- {
				m := p.uses[i]
				m.varargs = m.varargs || t.text == "varargs"
				m.kwargs = m.kwargs || t.text == "kwargs"
				m.caller = m.caller || t.text == "caller"
				if m.name != "caller" {
					break
				}
			}
		}
		return &variable{t.text, t.line}
	case str:
		text := t.text
		for p.at(str, "") {
			text += p.take().text
		}
		return &constant{text}
	case integer:
		n, err := strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 0, 64)
		if strings.Trim(t.text, "0123456789_") == "" {
			n, err = strconv.ParseInt(strings.ReplaceAll(t.text, "_", ""), 10, 64)
		}
		if err != nil {
			fail(t.line, "integer %s is out of range", t.text)
		}
		return &constant{n}
	case float:
		f, err := strconv.ParseFloat(strings.ReplaceAll(t.text, "_", ""), 64)
		if err != nil {
			fail(t.line, "number %s is out of range", t.text)
		}
		return &constant{f}
	case op:
		switch t.text {
		case "(":
			if p.skip(op, ")") {
				return &tupleExpr{}
			}
			x := p.tuple(true, "")
			p.expect(op, ")")
			return x
		case "[":
			l := new(listExpr)
			l.items = p.sequence("]", p.expression)
			return l
		case "{":
			d := &dictExpr{line: t.line}
			p.sequence("}", func() expr {
				d.keys = append(d.keys, p.expression())
				p.expect(op, ":")
				d.values = append(d.values, p.expression())
				return nil
			})
			return d
		}
		fail(t.line, "unexpected %s", t)
	default:
		fail(t.line, "unexpected %s", t)
	}
	return nil
}

// sequence parses items with commas between, up to end.
func (p *parser) sequence(end string, item func() expr) []expr {
	var items []expr
	for first := true; !p.at(op, end); first = false {
		if !first {
			p.expect(op, ",")
			if p.at(op, end) {
				break
			}
		}
		items = append(items, item())
	}
	p.expect(op, end)
	return items
}

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
