package router

import (
	"slices"
	"sync"
	"time"

	"shoal/experts"
)

// health is what calls have taught about the peers. It outlives sessions and directories' changes of mind.
type health struct {
	mu     sync.Mutex
	peers  map[string]*record
	calls  int
	hedges int
}

type record struct {
	latency  [sizeClasses]window
	measured [sizeClasses]time.Time // when the class last had a call
	usual    Usual                  // of calls of a token's size
	failures int
	failed   time.Time        // last
	held     experts.Holdings // when it was last asked
}

// stale is the age at which a measured latency stops counting, so that a peer that was slow once is tried again.
const stale = 30 * time.Second

func (h *health) record(peer string) *record {
	if h.peers == nil {
		h.peers = map[string]*record{}
	}
	r := h.peers[peer]
	if r == nil {
		r = &record{}
		h.peers[peer] = r
	}
	return r
}

// expected is the usual latency of the peer for calls of a class. 0 if it is not known or too old: such a peer looks fast,
// so that every replica is measured once.
func (h *health) expected(peer string, class int, now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	if now.Sub(r.measured[class]) > stale {
		return 0
	}
	return r.latency[class].p50
}

// resting reports whether the peer failed so recently that it is asked only for what nobody else holds.
func (h *health) resting(peer string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	quiet := now.Sub(r.failed)
	return quiet < backoff(decayed(r.failures, quiet))
}

// timing returns the deadline of a call and when to hedge it, if ever.
func (h *health) timing(peer string, class, slots int, l Limits) (deadline, hedge time.Duration, hedged bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &h.record(peer).latency[class]
	hedge, hedged = hedgeAfter(w.p95, w.count)
	return l.callDeadline(w.p95, w.count, slots), hedge, hedged
}

// started counts a call for the budget of hedges.
func (h *health) started(peer experts.Holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.record(peer.Peer).held = peer.Holds
}

// heldBefore lists the peers that held any of these experts when they were last asked, in order.
func (h *health) heldBefore(layer int, list []int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for peer, r := range h.peers {
		if slices.ContainsFunc(list, r.held[layer].Has) {
			out = append(out, peer)
		}
	}
	slices.Sort(out)
	return out
}

// takeHedges asks for extra calls out of the budget.
func (h *health) takeHedges(extra int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !mayHedge(h.hedges, extra, h.calls) {
		return false
	}
	h.hedges += extra
	return true
}

// succeeded notes an answer, which ends a row of failures.
func (h *health) succeeded(peer string, class int, took time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	r.failures = 0
	r.latency[class].add(took)
	r.measured[class] = now
}

// Usual is what calls of a token's size usually take at a peer, the latest counting most.
type Usual struct {
	Took    time.Duration
	Late    time.Duration // how much longer one in twenty takes
	Codec   time.Duration // of it, in this process
	Queue   time.Duration // of it, as the peer says
	Compute time.Duration // of it, as the peer says
	Slots   float64       // experts asked for
	Calls   int
}

// learned notes where the time of an answer went.
func (h *health) learned(peer string, class, slots int, took time.Duration, of experts.Timing) {
	if class > 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	u := &r.usual
	u.Calls++
	share := max(1./16, 1/float64(u.Calls))
	move := func(d *time.Duration, to time.Duration) { *d += time.Duration(share * float64(to-*d)) }
	// A call that took far longer is in Late, not in what is usual.
	if w := &r.latency[class]; w.count > 8 && took > 2*w.p95 {
		return
	}
	move(&u.Took, took)
	move(&u.Codec, of.Codec)
	move(&u.Queue, of.Queue)
	move(&u.Compute, of.Compute)
	u.Slots += share * (float64(slots) - u.Slots)
}

// usual is what is known of a peer; Calls is 0 if that is nothing.
func (h *health) usual(peer string) Usual {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	u := r.usual
	u.Took = max(u.Took, r.latency[0].p50) // which counts calls that were given up for being late
	u.Late = max(0, r.latency[0].p95-r.latency[0].p50)
	return u
}

// abandoned notes a call that was cancelled because another replica was faster: it would have taken at least this long.
// A call cut short before the peer's usual time says nothing.
func (h *health) abandoned(peer string, class int, after time.Duration, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	if after > r.latency[class].p50 {
		r.latency[class].add(after)
		r.measured[class] = now
	}
}

// failed notes a failure and puts the peer to rest.
func (h *health) failed(peer string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.record(peer)
	r.failures = decayed(r.failures, now.Sub(r.failed)) + 1
	r.failed = now
}
