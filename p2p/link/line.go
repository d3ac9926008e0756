package link

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Sizes of a segment on Ethernet: data, and headers of IPv4 and of TCP with timestamps.
const (
	segment = 1448
	headers = 52
)

// line is one way of a link's access line, which all its connections share: when it is free to send the next byte.
type line struct {
	mu   sync.Mutex
	free time.Duration // since the link's epoch
}

// take occupies the line for n bytes from now on, or from when it is free, and returns when they are through.
func (l *line) take(now time.Duration, n int, rate Rate) time.Duration {
	if rate == 0 {
		return now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = max(l.free, now) + time.Duration(float64(8*n)/float64(rate)*float64(time.Second))
	return l.free
}

// way is one direction of one connection. It belongs to one goroutine or to a lock.
type way struct {
	config Config
	line   *line
	rng    *rand.Rand
	last   time.Duration // arrival of what was sent last
}

// part is some bytes that arrive together.
type part struct {
	bytes   int
	arrives time.Duration
}

// send sends a burst of n bytes and appends its parts, which arrive one after the other. What arrives together with the last of
// parts becomes part of it, if that is not before first.
func (w *way) send(parts []part, first int, now time.Duration, n int) []part {
	c := w.config
	delay := c.RTT / 2
	if c.Jitter > 0 {
		delay += time.Duration((w.rng.Float64() - 0.5) * float64(c.Jitter))
	}
	for n > 0 {
		data := min(n, segment)
		if c.Rate == 0 && c.Loss == 0 {
			data = n
		}
		n -= data
		arrives := w.line.take(now, data+headers, c.Rate) + delay
		for c.Loss > 0 && w.rng.Float64() < float64(c.Loss) {
			// Sent again, it takes its share of the line again, but nobody waits for that share: the line stays simple.
			arrives += c.RTT
		}
		w.last = max(w.last, arrives)
		if k := len(parts); k > first && parts[k-1].arrives == w.last {
			parts[k-1].bytes += data
			continue
		}
		parts = append(parts, part{data, w.last})
	}
	return parts
}
