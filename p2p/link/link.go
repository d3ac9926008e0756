package link

import (
	"context"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// Link is an access line to a network. Its connections share the rate.
type Link struct {
	config Config
	epoch  time.Time
	up     line // away from the side that wraps or dials
	down   line
	count  atomic.Uint64 // of connections, for their seeds
}

// New returns a link.
func New(c Config) (*Link, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Link{config: c, epoch: time.Now()}, nil
}

// Config is what the link is like.
func (l *Link) Config() Config { return l.config }

func (l *Link) now() time.Duration { return time.Since(l.epoch) }

// ways are both directions of a new connection.
func (l *Link) ways() (up, down *way) {
	n := l.count.Add(1)
	up = &way{config: l.config, line: &l.up, rng: rand.New(rand.NewPCG(l.config.Seed, 2*n))}
	down = &way{config: l.config, line: &l.down, rng: rand.New(rand.NewPCG(l.config.Seed, 2*n+1))}
	return up, down
}

// Wrap puts a connection behind the link: what is written to the result goes up the line, what is read from it came down. The
// result owns c. Closing it lets what was written arrive.
func (l *Link) Wrap(c net.Conn) net.Conn {
	if l.config.Perfect() {
		return c
	}
	return newConn(l, c)
}

// Dialer dials through the link. A dial takes a round trip, as TCP's handshake does.
type Dialer struct {
	Link *Link
	net.Dialer
}

// DialContext dials and wraps.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil || d.Link == nil {
		return c, err
	}
	select {
	case <-time.After(d.Link.config.RTT):
	case <-ctx.Done():
		_ = c.Close()
		return nil, ctx.Err()
	}
	return d.Link.Wrap(c), nil
}
