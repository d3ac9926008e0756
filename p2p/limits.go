package p2p

import (
	"fmt"

	"shoal/experts"
)

// MaxMessage is the largest message of the expert protocol, in bytes without its length prefix. It is part of the protocol:
// a longer one ends the stream.
const MaxMessage = 64 << 20

// Limits bound one request, before anything is allocated for it. The zero value means the defaults.
type Limits struct {
	Message int // bytes; default and most: MaxMessage
	Rows    int // rows of activations; default 16384
	Hidden  int // values in a row; default 65536
	Slots   int // (row, expert) pairs; default 262144
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, def, most int) {
		if *v <= 0 {
			*v = def
		}
		*v = min(*v, most)
	}
	set(&l.Message, MaxMessage, MaxMessage)
	set(&l.Rows, 16384, 1<<20)
	set(&l.Hidden, 65536, 1<<20)
	set(&l.Slots, 262144, 1<<24)
	return l
}

// check reports the first size of a request that is over a limit; reply is the reply's size in bytes.
func (l Limits) check(rows, hidden, slots, reply int) error {
	switch {
	case hidden > l.Hidden:
		return fmt.Errorf("%w: rows of %d values, at most %d", experts.ErrTooLarge, hidden, l.Hidden)
	case rows > l.Rows:
		return fmt.Errorf("%w: %d rows, at most %d", experts.ErrTooLarge, rows, l.Rows)
	case slots > l.Slots:
		return fmt.Errorf("%w: %d slots, at most %d", experts.ErrTooLarge, slots, l.Slots)
	case reply > l.Message-resultOverhead:
		return fmt.Errorf("%w: the answer takes %d bytes, at most %d", experts.ErrTooLarge, reply, l.Message-resultOverhead)
	}
	return nil
}
