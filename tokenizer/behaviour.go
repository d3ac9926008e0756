package tokenizer

import (
	"fmt"
)

// behaviour says where the text that a pattern matches goes.
type behaviour string

const (
	isolated       behaviour = "Isolated"
	removed        behaviour = "Removed"
	mergedPrevious behaviour = "MergedWithPrevious"
	mergedNext     behaviour = "MergedWithNext"
	contiguous     behaviour = "Contiguous"
)

func parseBehaviour(s string) (behaviour, error) {
	switch b := behaviour(s); b {
	case isolated, removed, mergedPrevious, mergedNext, contiguous:
		return b, nil
	}
	return "", fmt.Errorf("behavior %q is not known", s)
}

// span is a part of a text, bytes start to end, and whether a pattern matched it.
type span struct {
	start, end int
	match      bool
}

// patternStep splits by any pattern.
type patternStep struct {
	find   func(s string) []span // all of s in order, matches and what lies between; none empty
	invert bool
	to     behaviour
}

// merge joins spans as the behaviour asks, in place.
func (b behaviour) merge(spans []span) []span {
	switch out := spans[:0]; b {
	case removed:
		for _, s := range spans {
			if !s.match {
				out = append(out, s)
			}
		}
		return out
	case contiguous, mergedPrevious:
		before := false
		for _, s := range spans {
			join := s.match && !before
			if b == contiguous {
				join = s.match == before
			}
			before = s.match
			if join && len(out) > 0 {
				out[len(out)-1].end = s.end
			} else {
				out = append(out, s)
			}
		}
		return out
	case mergedNext:
		// A match goes to what follows it, unless that is a match too.
		for i := 0; i < len(spans); i++ {
			s := spans[i]
			if s.match && i+1 < len(spans) && !spans[i+1].match {
				s.end = spans[i+1].end
				i++
			}
			out = append(out, s)
		}
		return out
	}
	return spans
}
