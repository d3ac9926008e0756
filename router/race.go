package router

import (
	"context"
	"time"
)

// race asks the part's holder, and if the answer is later than this peer's usually are, other replicas as well. The first
// answer counts and the rest is cancelled. The error is that of the holder unless a replica was asked and failed last.
func (d *dispatch) race(ctx context.Context, p part) ([]piece, error) {
	after, ok := d.hedgeTime(p)
	if !ok {
		answer, err := d.call(ctx, p)
		return []piece{answer}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	type result struct {
		pieces []piece
		err    error
	}
	results := make(chan result, 2)
	start := func(run func() ([]piece, error)) {
		go func() {
			pieces, err := run()
			results <- result{pieces, err}
		}()
	}
	start(func() ([]piece, error) {
		answer, err := d.call(ctx, p)
		return []piece{answer}, err
	})
	running := 1
	timer := time.NewTimer(after)
	defer timer.Stop()
	var firstErr error
	for {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				return r.pieces, nil
			}
			if firstErr == nil {
				firstErr = r.err
			}
			if running == 0 {
				return nil, firstErr
			}
		case <-timer.C:
			if replicas := d.hedge(p); replicas != nil {
				start(func() ([]piece, error) { return d.callAll(ctx, replicas) })
				running++
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hedgeTime is when the part's holder is late.
func (d *dispatch) hedgeTime(p part) (time.Duration, bool) {
	if p.holder.Peer == "" {
		return 0, false
	}
	_, after, ok := d.swarm.health.timing(p.holder.Peer, sizeClass(len(p.slots)), len(p.slots), d.swarm.config.Limits)
	return after, ok
}

// hedge returns other holders for the part, nil if there are none in good health or too many calls were hedged lately.
func (d *dispatch) hedge(p part) []part {
	replicas, missing := d.plan(p.slots, p.holder.Peer)
	if len(missing) > 0 {
		return nil
	}
	for _, r := range replicas {
		if d.swarm.health.resting(r.holder.Peer, time.Now()) {
			return nil
		}
	}
	if !d.swarm.health.takeHedges(len(replicas)) {
		return nil
	}
	d.tally.hedged(len(replicas))
	return replicas
}

// callAll asks several holders at once for their parts and fails with the first of them.
func (d *dispatch) callAll(ctx context.Context, parts []part) ([]piece, error) {
	type result struct {
		answer piece
		err    error
	}
	results := make(chan result, len(parts))
	for _, p := range parts {
		go func() {
			answer, err := d.call(ctx, p)
			results <- result{answer, err}
		}()
	}
	var pieces []piece
	for range parts {
		r := <-results
		if r.err != nil {
			return nil, r.err
		}
		pieces = append(pieces, r.answer)
	}
	return pieces, nil
}
