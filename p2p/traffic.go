package p2p

import (
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Traffic is what went to and from one peer over the expert protocol, and where its time went.
type Traffic struct {
	Calls         int64 // requests answered
	Errors        int64 // requests refused or lost
	BytesSent     int64 // messages with their length prefixes; encryption and transport come on top
	BytesReceived int64
	Wait          time.Duration // from sending a request to its answer, over all answered; 0 on a server
	Compute       time.Duration // of that, what the peer says its experts took
	Queue         time.Duration // of that, what the peer says requests waited for their turn
	LastWait      time.Duration
	LastCompute   time.Duration
	LastQueue     time.Duration
	RTT           time.Duration // round trip of an empty message, the median of the latest; 0: not measured
	Rates         Rates         // of the line
}

// traffic counts; safe for concurrent use.
type traffic struct {
	calls, errors, out, in                                 atomic.Int64
	wait, compute, queue, lastWait, lastCompute, lastQueue atomic.Int64 // nanoseconds
	line                                                   meter
}

func (t *traffic) sent(frame int) { t.out.Add(int64(frame)) }

// received counts a message of n bytes and its length prefix.
func (t *traffic) received(n int) { t.in.Add(int64(n + protowire.SizeVarint(uint64(n)))) }

func (t *traffic) failed() { t.errors.Add(1) }

func (t *traffic) computed(compute, queue time.Duration) {
	t.calls.Add(1)
	t.compute.Add(int64(compute))
	t.queue.Add(int64(queue))
	t.lastCompute.Store(int64(compute))
	t.lastQueue.Store(int64(queue))
}

func (t *traffic) waited(d time.Duration) {
	t.wait.Add(int64(d))
	t.lastWait.Store(int64(d))
}

func (t *traffic) snapshot() Traffic {
	d := func(v *atomic.Int64) time.Duration { return time.Duration(v.Load()) }
	return Traffic{
		Calls: t.calls.Load(), Errors: t.errors.Load(), BytesSent: t.out.Load(), BytesReceived: t.in.Load(),
		Wait: d(&t.wait), Compute: d(&t.compute), Queue: d(&t.queue),
		LastWait: d(&t.lastWait), LastCompute: d(&t.lastCompute), LastQueue: d(&t.lastQueue), RTT: t.line.rtt(), Rates: t.line.rates(),
	}
}

// peerTraffic has the counters of many peers, and forgets none: at most maxCounted, the others share one.
type peerTraffic struct {
	mu sync.Mutex
	by map[string]*traffic
}

const maxCounted = 4096

func (p *peerTraffic) of(peer string) *traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]*traffic{}
	}
	t, ok := p.by[peer]
	if !ok {
		if len(p.by) >= maxCounted {
			peer = "others"
		}
		if t, ok = p.by[peer]; !ok {
			t = new(traffic)
			p.by[peer] = t
		}
	}
	return t
}

func (p *peerTraffic) snapshot() map[string]Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]Traffic, len(p.by))
	for id, t := range p.by {
		out[id] = t.snapshot()
	}
	return out
}
