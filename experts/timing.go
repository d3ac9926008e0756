package experts

import (
	"context"
	"time"
)

// Timing is where the time of a call went, as far as its Runner knows.
type Timing struct {
	Codec   time.Duration // writing the request and reading the answer, in this process
	Queue   time.Duration // that the request waited at the peer, as the peer says
	Compute time.Duration // of the experts, as the peer says
}

type timingKey struct{}

// WithTiming returns a context with which a Runner that talks to a peer adds its times to t, before Run returns without an
// error. One call at a time: it is not safe for concurrent use.
func WithTiming(ctx context.Context, t *Timing) context.Context {
	return context.WithValue(ctx, timingKey{}, t)
}

// TimingOf is what ctx carries, nil if nobody asks.
func TimingOf(ctx context.Context) *Timing {
	t, _ := ctx.Value(timingKey{}).(*Timing)
	return t
}
