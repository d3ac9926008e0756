package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"shoal/experts"
)

// RemoteConfig says how to talk to peers. The zero value means exact mode and the defaults.
type RemoteConfig struct {
	Wire        Wire          // encodings of activations; zero: WireF32. Fast mode is any other together with Batch.Sum
	DialTimeout time.Duration // for connecting and opening the stream; 0: 5 s
	PingEvery   time.Duration // 0: 1 s
	ProbeEvery  time.Duration // between measurements of the line, after a burst when the stream opens; 0: 10 s, negative: never
	PingTimeout time.Duration // a peer from which nothing came for so long while a pong was due is gone; 0: 3 s
}

func (c RemoteConfig) withDefaults() RemoteConfig {
	c.Wire = c.Wire.withDefaults()
	if c.ProbeEvery == 0 {
		c.ProbeEvery = 10 * time.Second
	}
	if c.DialTimeout <= 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.PingEvery <= 0 {
		c.PingEvery = time.Second
	}
	if c.PingTimeout <= 0 {
		c.PingTimeout = 3 * time.Second
	}
	return c
}

// redialAfter is how long a failed dial stands before the next request tries again.
const redialAfter = 250 * time.Millisecond

// Remote runs batches on one peer over one stream; it is an [experts.Runner]. The stream is opened by the first request,
// and again by the next request after it is gone. A request that was on the stream when it broke is not repeated: it ends
// with [experts.ErrGone] and the caller decides where to send it.
type Remote struct {
	h       *Host
	peer    peer.ID
	cfg     RemoteConfig
	traffic traffic
	// changed is called, without locks held, after the stream was opened or ended; see Connected. May be nil.
	changed func()

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	stream  *clientStream // nil: none
	dialing *dialing      // nil: none
	failed  error         // of the last dial, which ended at at
	at      time.Time
}

// dialing is one attempt to open the stream, shared by everybody who waits for it.
type dialing struct {
	done   chan struct{}
	stream *clientStream
	err    error
}

var _ experts.Runner = (*Remote)(nil)

// NewRemote returns a runner for a peer; nothing is dialled yet. Addresses in p are remembered for as long as the host lives.
func NewRemote(h *Host, p peer.AddrInfo, cfg RemoteConfig) *Remote {
	if len(p.Addrs) > 0 {
		h.host.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.PermanentAddrTTL)
	}
	r := &Remote{h: h, peer: p.ID, cfg: cfg.withDefaults()}
	r.ctx, r.cancel = context.WithCancel(h.ctx)
	return r
}

// Peer is the peer's id.
func (r *Remote) Peer() peer.ID { return r.peer }

// Traffic is what this Remote sent and received.
func (r *Remote) Traffic() Traffic { return r.traffic.snapshot() }

// Bytes is what was sent and received over the expert protocol, messages with their length prefixes.
func (r *Remote) Bytes() (sent, received int64) {
	t := r.Traffic()
	return t.BytesSent, t.BytesReceived
}

// RTT is the round trip of an empty message, the median of the latest, 0 before the first.
func (r *Remote) RTT() time.Duration { return r.traffic.line.rtt() }

// Rates is what the line to the peer carries, as measured.
func (r *Remote) Rates() Rates { return r.traffic.line.rates() }

// Run sends the batch and waits for the answer. A batch over the protocol's message size is sent in pieces, by rows.
func (r *Remote) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", experts.ErrBadRequest, err)
	}
	if len(b.Slots) == 0 {
		return make([]float32, b.ReplyRows()*b.Hidden), ctx.Err()
	}
	y, err := r.run(ctx, b)
	if err != nil {
		return nil, peerError(r.peer, b.Layer, err)
	}
	return y, nil
}

// peerError names the peer and the layer, the peer only where err does not name it already.
func peerError(p peer.ID, layer int, err error) error {
	if strings.Contains(err.Error(), p.String()) {
		return fmt.Errorf("layer %d: %w", layer, err)
	}
	return fmt.Errorf("peer %s: layer %d: %w", p, layer, err)
}

func (r *Remote) run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if cut := r.cut(b); cut > 0 {
		first, second := split(b, cut)
		y, err := r.run(ctx, first)
		if err != nil {
			return nil, err
		}
		z, err := r.run(ctx, second)
		if err != nil {
			return nil, err
		}
		return append(y, z...), nil
	}
	s, err := r.open(ctx)
	if err != nil {
		r.traffic.failed()
		return nil, err
	}
	y, err := s.call(ctx, b)
	if err != nil {
		r.traffic.failed()
	}
	return y, err
}

// cut is the row to split a batch at so that each half fits a message, 0 if the whole fits or cannot be split.
func (r *Remote) cut(b experts.Batch) int {
	reply, _ := r.cfg.Wire.Down.size(b.ReplyRows(), b.Hidden)
	if b.Rows() < 2 || runSize(b.Rows(), b.Hidden, len(b.Slots), r.cfg.Wire.Up) <= MaxMessage && reply <= MaxMessage-resultOverhead {
		return 0
	}
	return b.Rows() / 2
}

// split cuts a batch before a row. The halves share its memory, but for the second one's slots.
func split(b experts.Batch, row int) (first, second experts.Batch) {
	n := 0
	for n < len(b.Slots) && b.Slots[n].Row < row {
		n++
	}
	first, second = b, b
	first.X, first.Slots = b.X[:row*b.Hidden], b.Slots[:n]
	second.X, second.Slots = b.X[row*b.Hidden:], make([]experts.Slot, len(b.Slots)-n)
	for i, s := range b.Slots[n:] {
		s.Row -= row
		second.Slots[i] = s
	}
	return first, second
}

// Connect opens the stream if there is none, without sending a batch.
func (r *Remote) Connect(ctx context.Context) error {
	_, err := r.open(ctx)
	return err
}

// Connected reports whether the stream is open.
func (r *Remote) Connected() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stream != nil
}

// open returns the stream, opening one where there is none.
func (r *Remote) open(ctx context.Context) (*clientStream, error) {
	r.mu.Lock()
	if r.stream != nil {
		defer r.mu.Unlock()
		return r.stream, nil
	}
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return nil, fmt.Errorf("%w: closed here", experts.ErrGone)
	}
	if r.failed != nil && time.Since(r.at) < redialAfter {
		defer r.mu.Unlock()
		return nil, r.failed
	}
	d := r.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		r.dialing = d
		r.wg.Go(func() { r.dial(d) })
	}
	r.mu.Unlock()
	select {
	case <-d.done:
		return d.stream, d.err
	case <-ctx.Done():
		return nil, ctxError(ctx)
	}
}

// dial opens a stream for everybody who waits for d.
func (r *Remote) dial(d *dialing) {
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.DialTimeout)
	defer cancel()
	s, err := r.newStream(ctx)
	switch {
	case errors.Is(err, ErrOtherVersion), errors.Is(err, ErrNoExperts):
		// Reachable, but of no use: to a caller that knows only the experts' errors it is as good as gone.
		err = &explained{err.Error(), []error{experts.ErrGone, err}}
	case err != nil:
		err = fmt.Errorf("%w: %w", experts.ErrGone, err)
	}
	r.mu.Lock()
	if err == nil && r.ctx.Err() != nil {
		_ = s.s.Reset()
		s, err = nil, fmt.Errorf("%w: closed here", experts.ErrGone)
	}
	r.stream, r.dialing, r.failed, r.at = s, nil, err, time.Now()
	d.stream, d.err = s, err
	r.mu.Unlock()
	close(d.done)
	if s != nil {
		if r.changed != nil {
			r.changed()
		}
		r.wg.Go(s.read)
		r.wg.Go(s.ping)
		if r.cfg.ProbeEvery > 0 {
			r.wg.Go(s.probe)
		}
	}
}

// newStream connects, opens a stream and exchanges a ping, so that what it returns is known to work.
func (r *Remote) newStream(ctx context.Context) (*clientStream, error) {
	s, err := r.h.host.NewStream(network.WithAllowLimitedConn(ctx, string(ExpertProtocol)), r.peer, ExpertProtocol)
	if err != nil {
		if verr := r.h.checkPeer(r.peer, expertFamily, ExpertProtocol); verr != nil {
			return nil, verr
		}
		return nil, errors.New(shortDialError(r.peer, err))
	}
	c := newClientStream(r, s)
	if err := c.hello(ctx); err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	r.h.host.ConnManager().Protect(r.peer, string(ExpertProtocol))
	return c, nil
}

// spawn runs f in the background unless the Remote is closed; Close waits for it.
func (r *Remote) spawn(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return false
	}
	r.wg.Go(f)
	return true
}

// gone is called once by a stream that ended.
func (r *Remote) gone(s *clientStream) {
	r.mu.Lock()
	current := r.stream == s
	if current {
		r.stream = nil
	}
	r.mu.Unlock()
	if current {
		r.h.host.ConnManager().Unprotect(r.peer, string(ExpertProtocol))
		if r.changed != nil {
			r.changed()
		}
	}
}

// Close ends the stream and every request on it.
func (r *Remote) Close() error {
	r.cancel()
	r.drop(errors.New("closed here"))
	r.wg.Wait()
	return nil
}

// drop ends the stream if there is one.
func (r *Remote) drop(why error) {
	r.mu.Lock()
	s := r.stream
	r.mu.Unlock()
	if s != nil {
		s.end(why)
	}
}

// shortDialError gives the first reason of a dial that tried many addresses.
func shortDialError(p peer.ID, err error) string {
	lines := dialReasons(peer.AddrInfo{ID: p}, err)
	if len(lines) > 0 {
		return lines[0]
	}
	return dialReason(err)
}

// ctxError is ctx's error; a deadline is also the experts' own.
func ctxError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", experts.ErrDeadline, ctx.Err())
	}
	return ctx.Err()
}
