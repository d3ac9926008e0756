package router

import "time"

// clock times a generation: the prompt's pass up to the first token, and the passes after it.
type clock struct {
	begin, first, last time.Time
	prompt, decode     passTally
	passes, tokens     int // after the first token
}

func newClock() *clock { return &clock{begin: time.Now()} }

// pass notes a pass that made tokens.
func (c *clock) pass(p passTally, tokens int) {
	c.last = time.Now()
	if c.first.IsZero() {
		c.first, c.prompt = c.last, p
		return
	}
	c.passes++
	c.tokens += tokens
	c.decode.add(p)
}

// fill writes the clock's part of a report whose peers are listed.
func (c *clock) fill(r *Report) {
	if c.first.IsZero() {
		return
	}
	r.TimeToFirstToken = milliseconds(c.first.Sub(c.begin))
	counted, passes, tokens, total := c.prompt, 1, 1, c.first.Sub(c.begin)
	if c.passes > 0 {
		counted, passes, tokens, total = c.decode, c.passes, c.tokens, c.last.Sub(c.first)
		r.TokensPerSecond = float64(c.tokens) / max(total.Seconds(), 1e-9)
	} else if len(r.Tokens) > 0 {
		r.TokensPerSecond = float64(len(r.Tokens)) / max(c.first.Sub(c.begin).Seconds(), 1e-9)
	}
	r.Passes, r.TokensPerPass = c.passes, float64(tokens)/float64(passes)
	r.RoundTripsPerToken = float64(counted.roundTrips) / float64(tokens)
	r.RemoteLayersPerToken = float64(counted.remoteLayers) / float64(passes)
	r.Time = counted.spent.times(total, tokens)
	for i := range r.Peers {
		p := &r.Peers[i]
		s := counted.spent.peers[p.ID]
		if s == nil {
			continue
		}
		calls := float64(max(s.calls, 1))
		p.Wait = milliseconds(s.wait) / float64(tokens)
		p.Codec, p.Queue, p.Compute = milliseconds(s.of.Codec)/calls, milliseconds(s.of.Queue)/calls, milliseconds(s.of.Compute)/calls
	}
}
