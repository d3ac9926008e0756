package router

import (
	"context"
	"time"

	"shoal/experts"
)

// Tracer sees where the time of a generation goes, span by span. It is called from many goroutines, at the end of each span,
// and must not hold them up.
type Tracer interface{ Span(Span) }

// Span is something that took time.
type Span struct {
	Peer  string // who was asked, "" for this process
	Name  string // "pass", "trunk", "wait", "logits", "sample", "guess", or for a peer "call" or "failed call"
	Layer int    // -1: none
	Start time.Time
	Took  time.Duration
	Rows  int            // tokens of a pass, rows of a call
	Slots int            // of a call
	Of    experts.Timing // of a call
}

type tracerKey struct{}

// WithTracer returns a context in which generations and the calls of a [Swarm] are shown to t.
func WithTracer(ctx context.Context, t Tracer) context.Context {
	return context.WithValue(ctx, tracerKey{}, t)
}

// trace is where spans go, if anywhere.
type trace struct{ to Tracer }

func traceOf(ctx context.Context) trace {
	t, _ := ctx.Value(tracerKey{}).(Tracer)
	return trace{t}
}

// since shows a span of this process that ends now, and returns its end.
func (t trace) since(start time.Time, name string, layer, rows int) time.Time {
	if t.to == nil {
		return start
	}
	now := time.Now()
	t.to.Span(Span{Name: name, Layer: layer, Start: start, Took: now.Sub(start), Rows: rows})
	return now
}

// call shows a call to a peer.
func (t trace) call(h experts.Holder, b experts.Batch, start time.Time, took time.Duration, of experts.Timing, err error) {
	if t.to == nil || h.Peer == "" {
		return
	}
	name := "call"
	if err != nil {
		name = "failed call"
	}
	t.to.Span(Span{Peer: h.Peer, Name: name, Layer: b.Layer, Start: start, Took: took, Rows: b.Rows(), Slots: len(b.Slots), Of: of})
}
