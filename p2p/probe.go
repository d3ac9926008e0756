package p2p

import (
	"context"
	"slices"
	"sync"
	"time"
)

// What the line to a peer is like is measured with pings: empty ones take the round trip, and one with filler takes longer by what
// the filler takes on the line. The least of a few of each is compared, because everything else that happens to a ping only
// makes it slower.

const (
	filler     = 8 << 10              // bytes of a probe; few enough for a connection's first window
	maxPing    = 16 << 10             // bytes of filler that a peer may send or ask for
	probeBurst = 3                    // probes of each kind when a stream opens
	tooFast    = 5 * time.Microsecond // less than this for the filler tells nothing: over 10 Gbit/s
)

// Rates are bits per second of the line to a peer, as probes took it; 0: not measured, or too fast to be.
type Rates struct{ Up, Down float64 }

// pingKind is what a ping carries.
type pingKind int

const (
	pingEmpty pingKind = iota
	pingUp             // filler goes up
	pingDown           // filler comes down
	pingKinds
)

// meter keeps what the latest pings took.
type meter struct {
	mu     sync.Mutex
	hello  time.Duration              // of the latest stream's first ping, which is slower than others
	latest [pingKinds][]time.Duration // newest last
	median time.Duration              // of the empty ones
	rate   Rates
}

const meterWindow = 9

// note adds a ping that took d.
func (m *meter) note(k pingKind, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.latest[k]) == meterWindow {
		m.latest[k] = m.latest[k][:copy(m.latest[k], m.latest[k][1:])]
	}
	m.latest[k] = append(m.latest[k], d)
	if k == pingEmpty {
		sorted := slices.Sorted(slices.Values(m.latest[k]))
		m.median = sorted[len(sorted)/2]
	}
	m.rate = m.compare()
}

// greeted notes the first ping of a stream.
func (m *meter) greeted(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hello = d
}

// rtt is the median of the latest empty pings; before there are any, what opening the stream took; 0 before that.
func (m *meter) rtt() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.median > 0 {
		return m.median
	}
	return m.hello
}

func (m *meter) rates() Rates {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rate
}

// compare takes the fastest pings with and without filler.
func (m *meter) compare() Rates {
	rate := func(k pingKind) float64 {
		if len(m.latest[k]) < probeBurst || len(m.latest[pingEmpty]) < probeBurst {
			return 0
		}
		took := slices.Min(m.latest[k]) - slices.Min(m.latest[pingEmpty])
		if took < tooFast {
			return 0
		}
		return 8 * filler / took.Seconds()
	}
	return Rates{Up: rate(pingUp), Down: rate(pingDown)}
}

// probe measures the line: a burst now, and one of each kind every while until the stream ends. A peer of the first version, which
// takes no filler, gets none.
func (c *clientStream) probe() {
	round := func() bool {
		for k := range pingKinds {
			if k != pingEmpty && c.known.Load() == firstEncodings {
				continue
			}
			ctx, cancel := context.WithTimeout(c.remote.ctx, c.remote.cfg.PingTimeout)
			done, err := c.sendPing(ctx, k)
			if err == nil {
				select {
				case <-done:
				case <-ctx.Done():
				case <-c.done:
				}
			}
			cancel()
			if err != nil || c.over() {
				return false
			}
		}
		return true
	}
	for range probeBurst {
		if !round() {
			return
		}
	}
	t := time.NewTicker(c.remote.cfg.ProbeEvery)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-t.C:
			if !round() {
				return
			}
		}
	}
}

func (c *clientStream) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
