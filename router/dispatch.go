package router

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/experts"
)

// dispatch is one batch on its way through the swarm.
type dispatch struct {
	swarm *Swarm
	batch experts.Batch
	tally *tally
	depth atomic.Int64 // network round trips that had to follow each other

	mu      sync.Mutex
	refused map[string]error // peers that are not to be asked, and why
	failed  []failure        // every failure so far
	trouble time.Time        // when an expert was first without a replica
	missing []int            // experts that were last found without one
	looks   int              // how often it was looked for one
	last    answered         // the latest answer of a peer
}

// part is some slots and the holder who is to run them.
type part struct {
	holder experts.Holder
	slots  []int // indices into the batch's slots, ascending
}

// serve gets the slots answered. depth counts the round trips up to and including this attempt.
func (d *dispatch) serve(ctx context.Context, slots []int, depth int64) ([]piece, error) {
	parts, err := d.planPatiently(ctx, slots)
	if err != nil {
		return nil, err
	}
	if len(parts) == 1 {
		return d.servePart(ctx, parts[0], depth)
	}
	answers := make([][]piece, len(parts))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		group.Go(func() (err error) {
			answers[i], err = d.servePart(ctx, p, depth)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(answers...), nil
}

// servePart asks one holder, and others in its place if it fails.
func (d *dispatch) servePart(ctx context.Context, p part, depth int64) ([]piece, error) {
	if p.holder.Peer != "" {
		atomicMax(&d.depth, depth)
	}
	pieces, err := d.race(ctx, p)
	if err == nil {
		return pieces, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch judge(err) {
	case giveUp:
		return nil, err
	case split:
		if first, second, ok := halves(d.batch, p.slots); ok {
			a, err := d.servePart(ctx, part{p.holder, first}, depth)
			if err != nil {
				return nil, err
			}
			b, err := d.servePart(ctx, part{p.holder, second}, depth+1)
			return append(a, b...), err
		}
	}
	d.refuse(p.holder, err)
	d.tally.failover()
	return d.serve(ctx, p.slots, depth+1)
}

// planPatiently plans until every slot has a holder. While an expert has none, it looks again: the directory may learn of a
// new holder, and a peer that was busy or lost may be back.
func (d *dispatch) planPatiently(ctx context.Context, slots []int) ([]part, error) {
	for {
		parts, missing := d.plan(slots, "")
		if len(missing) == 0 {
			return parts, nil
		}
		pause, patient := d.pause(missing)
		if !patient {
			return nil, d.missingError(missing)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		d.forgive()
	}
}

// plan gives each slot a holder that has not refused this batch, other than the one named. It returns one part for each
// holder, in the order of their first slots, and the experts without a holder.
func (d *dispatch) plan(slots []int, except string) (parts []part, missing []int) {
	var needed experts.Set
	for _, i := range slots {
		needed = needed.With(d.batch.Slots[i].Expert)
	}
	need := needed.Experts()
	holders, candidates := d.candidates(len(slots), except)
	assigned := d.swarm.assign(d.batch.Layer, need, candidates, len(slots))

	byExpert := make(map[int]int, len(need)) // expert -> holder
	for i, c := range assigned {
		if c < 0 {
			missing = append(missing, need[i])
		}
		byExpert[need[i]] = c
	}
	byHolder := map[int]int{} // holder -> part
	for _, i := range slots {
		c := byExpert[d.batch.Slots[i].Expert]
		if c < 0 {
			continue
		}
		at, ok := byHolder[c]
		if !ok {
			at = len(parts)
			byHolder[c] = at
			parts = append(parts, part{holder: holders[c]})
		}
		parts[at].slots = append(parts[at].slots, i)
	}
	return parts, missing
}

// candidates lists who may be asked, with what is known of them.
func (d *dispatch) candidates(slots int, except string) ([]experts.Holder, []candidate) {
	var holders []experts.Holder
	var out []candidate
	now, class := time.Now(), sizeClass(slots)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.swarm.Holders() {
		holds := h.Holds[d.batch.Layer]
		if _, refused := d.refused[h.Peer]; refused || holds.Len() == 0 || except != "" && h.Peer == except {
			continue
		}
		c := candidate{peer: h.Peer, holds: holds}
		if h.Peer != "" {
			c.latency, c.resting = d.swarm.health.expected(h.Peer, class, now), d.swarm.health.resting(h.Peer, now)
		}
		holders, out = append(holders, h), append(out, c)
	}
	return holders, out
}

// call runs slots on one holder within its time and checks the answer.
func (d *dispatch) call(ctx context.Context, p part) (piece, error) {
	sub, rows := extract(d.batch, p.slots)
	if p.holder.Peer == "" {
		y, err := p.holder.Runner.Run(ctx, sub)
		if err == nil {
			err = checkReply(sub, y)
		}
		return piece{p.slots, rows, y}, err
	}
	health, peer, class := &d.swarm.health, p.holder.Peer, sizeClass(len(p.slots))
	deadline, _, _ := health.timing(peer, class, len(p.slots), d.swarm.config.Limits)
	timed, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	health.started(p.holder)
	d.tally.started(p.holder)
	var of experts.Timing
	begin := time.Now()
	y, err := p.holder.Runner.Run(experts.WithTiming(timed, &of), sub)
	took := time.Since(begin)
	if err == nil {
		err = checkReply(sub, y)
	}
	traceOf(ctx).call(p.holder, sub, begin, took, of, err)
	switch {
	case err == nil:
		health.succeeded(peer, class, took, time.Now())
		health.learned(peer, class, len(p.slots), took, of)
		d.tally.answered(peer, took, of)
		d.answered(answered{peer, begin.Add(took), of})
		return piece{p.slots, rows, y}, nil
	case ctx.Err() != nil: // a race lost, or nobody waits any more
		health.abandoned(peer, class, took, time.Now())
		return piece{}, ctx.Err()
	case timed.Err() != nil:
		err = fmt.Errorf("%w: no answer within %v", experts.ErrDeadline, deadline.Round(time.Millisecond))
	}
	if v := judge(err); v == moveOn || v == moveOnNow {
		health.failed(peer, time.Now())
	}
	return piece{}, err
}

// answered notes an answer, of which the latest counts.
func (d *dispatch) answered(a answered) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.at.After(d.last.at) {
		d.last = a
	}
}

func (d *dispatch) lastAnswer() answered {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// checkReply reports an answer of the wrong size, or with values that are not finite.
func checkReply(b experts.Batch, y []float32) error {
	if len(y) != b.ReplyRows()*b.Hidden {
		return fmt.Errorf("%w: layer %d: %d values, want %d rows of %d", experts.ErrBadReply, b.Layer, len(y), b.ReplyRows(), b.Hidden)
	}
	for i, v := range y {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 { // all exponent bits set: infinite or no number
			return fmt.Errorf("%w: layer %d: %v in row %d", experts.ErrBadReply, b.Layer, v, i/b.Hidden)
		}
	}
	return nil
}

// failure is how a holder failed, and what it held of the layer then: a directory forgets peers that are gone.
type failure struct {
	Failure
	held experts.Set
}

func (d *dispatch) refuse(h experts.Holder, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused[h.Peer] = err
	d.failed = append(d.failed, failure{Failure{h.Peer, err}, h.Holds[d.batch.Layer]})
}

// forgive lets peers be asked again whose failure may have passed.
func (d *dispatch) forgive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.refused, func(_ string, err error) bool { return judge(err) == moveOn })
}

// pause is how long to wait before it is looked again for holders of the missing experts; patient is false if it was long
// enough.
func (d *dispatch) pause(missing []int) (pause time.Duration, patient bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.trouble.IsZero() {
		d.trouble = now
	}
	d.missing = missing
	left := d.swarm.config.Limits.Patience - now.Sub(d.trouble)
	pause = min(retryPause(d.looks), left)
	d.looks++
	return pause, left > 0
}

var errLeft = fmt.Errorf("%w: it has left the swarm", experts.ErrGone)

// missingError names the missing experts and the last failure of each holder that had some of them.
func (d *dispatch) missingError(missing []int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := map[string]Failure{}
	for _, peer := range d.swarm.health.heldBefore(d.batch.Layer, missing) {
		last[peer] = Failure{peer, errLeft}
	}
	for _, f := range d.failed {
		if slices.ContainsFunc(missing, f.held.Has) {
			last[f.Peer] = f.Failure
		}
	}
	e := &MissingError{Missing: []Missing{{Layer: d.batch.Layer, Experts: missing}}}
	for _, peer := range slices.Sorted(maps.Keys(last)) {
		e.Failures = append(e.Failures, last[peer])
	}
	return e
}

// outOfTime is the error of a layer that took longer than it may.
func (d *dispatch) outOfTime(limit time.Duration) error {
	d.mu.Lock()
	missing := d.missing
	d.mu.Unlock()
	if len(missing) > 0 {
		return d.missingError(missing)
	}
	var all experts.Set
	for _, s := range d.batch.Slots {
		all = all.With(s.Expert)
	}
	return fmt.Errorf("%w: layer %d, experts %s: no answer within %v; the peers that hold them are too slow: start a node with --layers %d --experts %s",
		experts.ErrDeadline, d.batch.Layer, experts.FormatRanges(all.Experts()), limit, d.batch.Layer, experts.FormatRanges(all.Experts()))
}

func atomicMax(a *atomic.Int64, v int64) {
	for old := a.Load(); old < v && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}
