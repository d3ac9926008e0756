package router

import (
	"context"
	"errors"

	"shoal/experts"
)

// verdict is what to do after a call failed.
type verdict uint8

const (
	giveUp    verdict = iota // the batch itself is wrong, or nobody waits for it any more
	moveOn                   // another replica; this peer again only if there is none, after a pause
	moveOnNow                // another replica; this peer not again for this batch
	split                    // smaller batches to the same peer
)

// judge decides by the kind of error. An error of no known kind counts as the peer's own failure.
func judge(err error) verdict {
	switch {
	case errors.Is(err, experts.ErrBadRequest), errors.Is(err, context.Canceled):
		return giveUp
	case errors.Is(err, experts.ErrTooLarge):
		return split
	case errors.Is(err, experts.ErrGone), errors.Is(err, experts.ErrBusy), errors.Is(err, experts.ErrDeadline):
		return moveOn
	}
	return moveOnNow
}
