package jinja

import (
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

func (p *parser) power() expr { return p.binary(func() expr { return p.unary(true) }, "**") }

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
