package router

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"shoal/experts"
)

// Metered is a Runner that talks to a peer and counts the bytes of its messages since it was made.
type Metered interface {
	Bytes() (sent, received int64)
}

// Pinged is a Runner that talks to a peer and knows the round trip time of a message without work, 0 if it does not yet.
type Pinged interface {
	RTT() time.Duration
}

// tally counts what one session's batches did in the swarm. It travels in the context, so that it passes through wrappers
// between a session and its [Swarm]. Methods of a nil tally do nothing.
type tally struct {
	mu        sync.Mutex
	calls     int64
	hedges    int64
	failovers int64
	pass      passTally
	peers     map[string]*peerTally
}

// passTally counts one pass through the layers.
type passTally struct {
	remoteLayers, roundTrips int64
	spent                    spent
}

func (p *passTally) add(o passTally) {
	p.remoteLayers += o.remoteLayers
	p.roundTrips += o.roundTrips
	p.spent.add(o.spent)
}

type peerTally struct {
	experts  int // held
	calls    int64
	latency  window
	fastest  time.Duration
	rtt      time.Duration // as the Runner tells
	sent     int64         // by runners that were replaced
	received int64
	runner   experts.Runner
	base     [2]int64 // the runner's traffic when the session first used it
}

type tallyKey struct{}

func withTally(ctx context.Context, t *tally) context.Context {
	return context.WithValue(ctx, tallyKey{}, t)
}

func tallyOf(ctx context.Context) *tally {
	t, _ := ctx.Value(tallyKey{}).(*tally)
	return t
}

// started notes a call to a peer before it is made.
func (t *tally) started(h experts.Holder) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if t.peers == nil {
		t.peers = map[string]*peerTally{}
	}
	p := t.peers[h.Peer]
	if p == nil {
		p = &peerTally{}
		t.peers[h.Peer] = p
	}
	p.calls++
	p.experts = h.Holds.Count()
	if !sameRunner(p.runner, h.Runner) {
		sent, received := p.traffic()
		p.sent, p.received = sent, received
		p.runner, p.base = h.Runner, [2]int64{}
		if r, ok := h.Runner.(Metered); ok {
			p.base[0], p.base[1] = r.Bytes()
		}
	}
}

// sameRunner compares without a panic on types that cannot be compared.
func sameRunner(a, b experts.Runner) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}

// traffic is what the session sent to and received from the peer.
func (p *peerTally) traffic() (sent, received int64) {
	sent, received = p.sent, p.received
	if r, ok := p.runner.(Metered); ok {
		s, v := r.Bytes()
		sent, received = sent+s-p.base[0], received+v-p.base[1]
	}
	return sent, received
}

// roundTrip is the peer's round trip time without work, as well as it is known: a ping on a busy machine may take longer than
// the fastest answer, which is an upper bound.
func (p *peerTally) roundTrip() time.Duration {
	if p.rtt > 0 && p.rtt < p.fastest {
		return p.rtt
	}
	return p.fastest
}

func (t *tally) answered(peer string, took time.Duration, of experts.Timing) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[peer]
	p.latency.add(took)
	if p.fastest == 0 || took < p.fastest {
		p.fastest = took
	}
	if r, ok := p.runner.(Pinged); ok {
		p.rtt = r.RTT()
	}
	s := t.pass.spent.peer(peer)
	s.calls++
	addTiming(&s.of, of)
}

func (t *tally) hedged(calls int) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hedges += int64(calls)
}

func (t *tally) failover() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failovers++
}

// layer notes a layer whose answer took that many round trips, 0 if no peer was asked, and how long it was waited for.
func (t *tally) layer(roundTrips int64, wait time.Duration, last answered) {
	if t == nil || roundTrips == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass.remoteLayers++
	t.pass.roundTrips += roundTrips
	t.pass.spent.layer(wait, last)
}

// passed notes how long the steps of a pass took.
func (t *tally) passed(guess, forward, sample time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.pass.spent
	s.guess, s.forward, s.sample = s.guess+guess, s.forward+forward, s.sample+sample
}

// endPass returns what was counted since the last call.
func (t *tally) endPass() passTally {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pass
	t.pass = passTally{}
	return p
}

// fill writes the tally's part of a report.
func (t *tally) fill(r *Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.RemoteCalls, r.Hedges, r.Failovers = t.calls, t.hedges, t.failovers
	var weighted, calls time.Duration
	for id, p := range t.peers {
		sent, received := p.traffic()
		r.BytesSent += sent
		r.BytesReceived += received
		r.Peers = append(r.Peers, PeerReport{
			ID: id, Experts: p.experts, Calls: p.calls, P50: milliseconds(p.latency.p50), P95: milliseconds(p.latency.p95),
			BytesSent: sent, BytesReceived: received, RTT: milliseconds(p.roundTrip()),
		})
		if rtt := p.roundTrip(); rtt > 0 {
			weighted += rtt * time.Duration(p.calls)
			calls += time.Duration(p.calls)
		}
	}
	if calls > 0 {
		r.RTT = milliseconds(weighted / calls)
	}
	slices.SortFunc(r.Peers, func(a, b PeerReport) int { return cmp.Compare(a.ID, b.ID) })
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
