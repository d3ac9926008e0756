package jinja

import (
	"strings"
	"time"
)

// Bounds of a rendering.
const (
	maxOutput = 16 << 20  // bytes of text, rendered or in one value
	maxSteps  = 5_000_000 // statements, operations and items gone through
	maxCalls  = 200       // calls in one another
)

// Template is a parsed template. It does not change and may be rendered from several goroutines.
type Template struct{ body []node }

// Parse reads a template. An error is an [*Error].
func Parse(source string) (*Template, error) {
	body, err := parse(source)
	if err != nil {
		return nil, err
	}
	return &Template{body}, nil
}

// Render renders the template with the variables of vars, which stays as it is. now is the time that strftime_now sees. An
// error is an [*Error].
func (t *Template) Render(vars *Dict, now time.Time) (rendered string, err error) {
	s := &state{out: new(strings.Builder), now: now, line: 1}
	defer func() {
		if e, ok := err.(*Error); ok && e.Line == 0 { // from where the line is not at hand
			e.Line = s.line
		}
	}()
	defer catch(&err)
	top := newScope(nil)
	for i, k := range vars.keys {
		if n, ok := asText(k); ok {
			top.set(n, vars.values[i])
		}
	}
	s.scope = newScope(top)
	s.run(t.body)
	return s.out.String(), nil
}

// state is one rendering.
type state struct {
	scope *scope
	out   *strings.Builder
	now   time.Time
	line  int // of the last call or print, for errors that know no better
	steps int64
	calls int
}

// scope is a set of variables inside another.
type scope struct {
	vars   map[string]Value
	parent *scope
}

func newScope(parent *scope) *scope { return &scope{parent: parent} }

func (c *scope) get(name string) (Value, bool) {
	for ; c != nil; c = c.parent {
		if v, ok := c.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

func (c *scope) set(name string, v Value) {
	if c.vars == nil {
		c.vars = make(map[string]Value, 4)
	}
	c.vars[name] = v
}

// spend counts n steps.
func (s *state) spend(line int, n int64) {
	if s.steps += n; s.steps > maxSteps || n > maxSteps {
		fail(line, "the template takes more than %d steps", maxSteps)
	}
}

// bound checks the size of a text.
func (s *state) bound(line, size int) {
	s.steps += int64(size) >> 10
	if size > maxOutput {
		fail(line, "a text of more than %d bytes", maxOutput)
	}
	s.spend(line, 0)
}

func (s *state) write(line int, t string) {
	s.bound(line, s.out.Len()+len(t))
	s.out.WriteString(t)
}

// inside runs f with other variables.
func (s *state) inside(c *scope, f func()) {
	before := s.scope
	s.scope = c
	f()
	s.scope = before
}

// capture returns what f writes.
func (s *state) capture(f func()) string {
	before := s.out
	s.out = new(strings.Builder)
	f()
	t := s.out.String()
	s.out = before
	return t
}

// deeper runs f one call deeper.
func (s *state) deeper(line int, f func()) {
	if s.calls++; s.calls > maxCalls {
		fail(line, "calls nested more than %d deep", maxCalls)
	}
	f()
	s.calls--
}

func (s *state) run(body []node) flow {
	for _, n := range body {
		s.spend(s.line, 1)
		if f := n.exec(s); f != next {
			return f
		}
	}
	return next
}

func (n textNode) exec(s *state) flow {
	s.write(s.line, n.text)
	return next
}

func (n printNode) exec(s *state) flow {
	s.line = n.line
	s.write(n.line, text(n.line, n.x.eval(s)))
	return next
}

func (n *ifNode) exec(s *state) flow {
	for i, t := range n.tests {
		if truth(t.eval(s)) {
			return s.run(n.bodies[i])
		}
	}
	return s.run(n.otherwise)
}

func (n *setNode) exec(s *state) flow {
	s.line = n.line
	s.assign(n.target, n.value.eval(s))
	return next
}

func (n *setBlockNode) exec(s *state) flow {
	var v Value
	s.inside(newScope(s.scope), func() { v = s.capture(func() { s.run(n.body) }) })
	for _, f := range n.filters {
		v = f.apply(s, v)
	}
	s.assign(n.target, v)
	return next
}

func (n *filterNode) exec(s *state) flow {
	var v Value
	s.inside(newScope(s.scope), func() { v = s.capture(func() { s.run(n.body) }) })
	for _, f := range n.filters {
		v = f.apply(s, v)
	}
	s.write(s.line, text(s.line, v))
	return next
}

func (n *withNode) exec(s *state) flow {
	inner := newScope(s.scope)
	for i, t := range n.targets {
		inner.set(t.name, n.values[i].eval(s))
	}
	var f flow
	s.inside(inner, func() { f = s.run(n.body) })
	return f
}

func (n *scopeNode) exec(s *state) flow {
	var f flow
	s.inside(newScope(s.scope), func() { f = s.run(n.body) })
	return f
}

func (n jumpNode) exec(*state) flow { return n.to }

func (n *macroNode) exec(s *state) flow {
	s.scope.set(n.name, &macro{n, s.scope})
	return next
}

func (n *callNode) exec(s *state) flow {
	s.line = n.line
	f := n.call.f.eval(s)
	args, named := n.call.args.eval(s, n.line)
	named = append(named, namedValue{"caller", &macro{n.body, s.scope}})
	s.write(n.line, text(n.line, s.call(n.line, f, args, named)))
	return next
}

// assign gives a target a value.
func (s *state) assign(t target, v Value) {
	switch {
	case t.items != nil:
		values := iterate(s, t.line, v)
		if len(values) != len(t.items) {
			fail(t.line, "cannot unpack %d values into %d names", len(values), len(t.items))
		}
		for i, x := range t.items {
			s.assign(x, values[i])
		}
	case t.attr != "":
		holder, _ := s.scope.get(t.name)
		ns, ok := holder.(*namespace)
		if !ok {
			fail(t.line, "cannot assign attribute on non-namespace object")
		}
		ns.vars.Set(t.attr, v)
	default:
		s.scope.set(t.name, v)
	}
}
