package jinja

// loop is the variable of that name inside a for loop.
type loop struct {
	n        *forNode
	scope    *scope // around the loop
	items    []Value
	index    int
	depth    int
	last     []Value // what changed was asked about before
	hasCache bool
}

func (n *forNode) exec(s *state) flow {
	s.line = n.line
	n.run(s, s.scope, n.iter.eval(s), 0)
	return next
}

// run goes through a value's items; scope is where the loop stands.
func (n *forNode) run(s *state, around *scope, over Value, depth int) {
	l := &loop{n: n, scope: around, depth: depth}
	l.items = iterate(s, n.line, over)
	if n.filter != nil {
		var kept []Value
		for _, x := range l.items {
			s.inside(newScope(around), func() {
				s.assign(n.target, x)
				if truth(n.filter.eval(s)) {
					kept = append(kept, x)
				}
			})
		}
		l.items = kept
	}
	if len(l.items) == 0 {
		s.inside(newScope(around), func() { s.run(n.otherwise) })
		return
	}
	for i, x := range l.items {
		s.spend(n.line, 1)
		l.index = i
		var f flow
		s.inside(newScope(around), func() {
			s.scope.set("loop", l)
			s.assign(n.target, x)
			f = s.run(n.body)
		})
		if f == breaking {
			break
		}
	}
}

// recurse is loop(items) in a recursive loop.
func (l *loop) recurse(s *state, line int, args []Value) Value {
	if !l.n.recursive {
		fail(line, "the loop must have the 'recursive' marker to be called recursively")
	}
	if len(args) != 1 {
		fail(line, "loop() takes one argument")
	}
	var t string
	s.deeper(line, func() { t = s.capture(func() { l.n.run(s, l.scope, args[0], l.depth+1) }) })
	return t
}

// attribute returns loop.name.
func (l *loop) attribute(name string) (Value, bool) {
	i, n := int64(l.index), int64(len(l.items))
	switch name {
	case "index":
		return i + 1, true
	case "index0":
		return i, true
	case "revindex":
		return n - i, true
	case "revindex0":
		return n - i - 1, true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return n, true
	case "depth":
		return int64(l.depth) + 1, true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if i == 0 {
			return &Undefined{message: "there is no previous item"}, true
		}
		return l.items[i-1], true
	case "nextitem":
		if i == n-1 {
			return &Undefined{message: "there is no next item"}, true
		}
		return l.items[i+1], true
	case "cycle":
		return &function{"cycle", func(_ *state, line int, args []Value, _ []namedValue) Value {
			if len(args) == 0 {
				fail(line, "no items for cycling given")
			}
			return args[l.index%len(args)]
		}}, true
	case "changed":
		return &function{"changed", func(s *state, line int, args []Value, _ []namedValue) Value {
			same := l.hasCache && s.equal(line, &Tuple{l.last}, &Tuple{args})
			l.last, l.hasCache = args, true
			return !same
		}}, true
	}
	return nil, false
}
