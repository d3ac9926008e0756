package jinja

import (
	"fmt"
)

// Error is what went wrong in a template, and where.
type Error struct {
	Line    int // of the template, from 1
	Message string
	Raised  bool // by the template itself, through raise_exception; Message is its message
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Message) }

// fail ends parsing or rendering. It panics with an *Error that catch turns into a returned error at the package's surface, as
// text/template does: a template fails from deep within the tree.
func fail(line int, format string, args ...any) {
	panic(&Error{Line: line, Message: fmt.Sprintf(format, args...)})
}

func catch(err *error) {
	switch p := recover().(type) {
	case nil:
	case *Error:
		*err = p
	default:
		panic(p)
	}
}
