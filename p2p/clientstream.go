package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"shoal/experts"
	"shoal/proto/shoalpb"
)

// writeAside is the size from which a message is written by a goroutine of its own, so that its request can be given up
// while flow control holds the message back.
const writeAside = 64 << 10

// clientStream is the client's side of one stream: many requests in flight, answered in any order.
type clientStream struct {
	remote *Remote
	s      network.Stream
	r      *bufio.Reader
	out    *frameWriter
	known  atomic.Uint64 // what the peer told of its encodings, bit e for encoding e
	heard  atomic.Int64  // when bytes last came, in nanoseconds since born
	load   atomic.Int64  // bytes that the requests in flight take both ways
	born   time.Time
	done   chan struct{} // closed by end

	mu     sync.Mutex
	calls  map[uint64]*call // nil after end
	lastID uint64
	reply  int   // the largest answer, in bytes, that anybody asked for on this stream
	why    error // why the stream ended
	pings  map[uint64]sentPing
	idle   []*call // to be used again
}

// sentPing is a ping whose pong is due.
type sentPing struct {
	kind pingKind
	at   time.Time
	done chan struct{} // closed by the pong
}

// call is one request in flight. answer gets exactly one value from whoever takes the call out of clientStream.calls.
type call struct {
	answer chan answer
}

// answer is a message that answers a call, or the reason why there is none. The caller frees buf.
type answer struct {
	buf    *buffer
	result wireResult
	err    error
}

func newClientStream(r *Remote, s network.Stream) *clientStream {
	c := &clientStream{
		remote: r, s: s, out: newFrameWriter(s), born: time.Now(), done: make(chan struct{}),
		calls: map[uint64]*call{}, pings: map[uint64]sentPing{},
	}
	c.r = bufio.NewReaderSize(hearing{c}, 64<<10)
	return c
}

// hearing notes when bytes come, so that a long answer counts as a sign of life before it is complete.
type hearing struct{ c *clientStream }

func (h hearing) Read(b []byte) (int, error) {
	n, err := h.c.s.Read(b)
	h.c.heard.Store(int64(time.Since(h.c.born)))
	return n, err
}

// hello exchanges the first ping, whose pong tells what the peer understands.
func (c *clientStream) hello(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.s.Reset() })
	defer stop()
	began := time.Now()
	if _, err := c.sendPing(ctx, pingEmpty); err != nil {
		return err
	}
	n, err := readLength(c.r)
	if err == nil && n > smallMessage {
		err = malformed("%d bytes where a pong was due", n)
	}
	if err == nil {
		err = c.take(n)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		c.remote.traffic.line.greeted(time.Since(began))
	}
	return err
}

// call sends a batch and waits for its answer.
func (c *clientStream) call(ctx context.Context, b experts.Batch) ([]float32, error) {
	if err := ctx.Err(); err != nil {
		return nil, ctxError(ctx)
	}
	line := &c.remote.traffic.line
	up, down := c.remote.cfg.Wire.choose(line.rtt(), line.rates(), b.Rows(), b.ReplyRows(), b.Hidden, c.known.Load())
	reply, _ := down.size(b.ReplyRows(), b.Hidden)
	id, k, err := c.begin(reply)
	if err != nil {
		return nil, err
	}
	var timeout time.Duration
	start := time.Now()
	if at, ok := ctx.Deadline(); ok {
		timeout = max(time.Microsecond, at.Sub(start))
	}
	buf := getBuffer()
	frame := buf.runFrame(id, b, up, down, timeout)
	codec := time.Since(start)
	load := int64(len(frame) + reply)
	c.load.Add(load)
	defer c.load.Add(-load)
	if len(frame) < writeAside {
		err = c.write(ctx, frame)
		buf.free()
	} else {
		wrote := make(chan error, 1)
		if !c.remote.spawn(func() {
			wrote <- c.write(ctx, frame)
			buf.free()
		}) {
			wrote <- errors.New("closed here")
		}
		select {
		case err = <-wrote:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, c.abandon(ctx, id, k, err)
	}
	select {
	case a := <-k.answer:
		c.rest(k)
		arrived := time.Now()
		compute, queue := a.result.compute, a.result.queue
		y, err := c.finish(a, b, down, arrived.Sub(start))
		if t := experts.TimingOf(ctx); t != nil && err == nil {
			t.Codec += codec + time.Since(arrived)
			t.Queue, t.Compute = t.Queue+queue, t.Compute+compute
		}
		return y, err
	case <-ctx.Done():
		return nil, c.abandon(ctx, id, k, ctx.Err())
	}
}

// begin registers a new call.
func (c *clientStream) begin(reply int) (uint64, *call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		return 0, nil, c.why
	}
	var k *call
	if n := len(c.idle); n > 0 {
		k, c.idle = c.idle[n-1], c.idle[:n-1]
	} else {
		k = &call{answer: make(chan answer, 1)}
	}
	c.lastID++
	c.calls[c.lastID] = k
	c.reply = max(c.reply, reply)
	return c.lastID, k, nil
}

// rest keeps a call whose answer was taken, or will never come, for another request.
func (c *clientStream) rest(k *call) {
	c.mu.Lock()
	c.idle = append(c.idle, k)
	c.mu.Unlock()
}

// abandon gives a call up because ctx ended or because it could not be sent, and tells the peer.
func (c *clientStream) abandon(ctx context.Context, id uint64, k *call, why error) error {
	c.mu.Lock()
	_, mine := c.calls[id]
	delete(c.calls, id)
	ended := c.calls == nil
	reason := c.why
	c.mu.Unlock()
	if !mine {
		a := <-k.answer // on its way
		a.buf.free()
	}
	c.rest(k)
	switch {
	case ctx.Err() == nil && ended:
		return reason
	case ctx.Err() == nil:
		return fmt.Errorf("%w: %w", experts.ErrGone, why)
	case mine && !ended:
		c.remote.spawn(func() {
			buf := getBuffer()
			defer buf.free()
			_ = c.write(c.remote.ctx, buf.cancelFrame(id))
		})
	}
	return ctxError(ctx)
}

// finish decodes an answer, which is to be in encoding e, and checks its shape and values.
func (c *clientStream) finish(a answer, b experts.Batch, e Encoding, wait time.Duration) ([]float32, error) {
	if a.err != nil {
		return nil, a.err
	}
	defer a.buf.free()
	r := a.result
	if r.code != shoalpb.Code_CODE_OK {
		return nil, errorOf(r.code, r.detail)
	}
	n, _ := e.size(b.ReplyRows(), b.Hidden)
	if r.encoding != e || int(r.rows) != b.ReplyRows() || int(r.hidden) != b.Hidden || len(r.y) != n {
		return nil, fmt.Errorf("%w: %d rows of %d in %s (%d bytes), want %d rows of %d in %s", experts.ErrBadReply,
			r.rows, r.hidden, r.encoding, len(r.y), b.ReplyRows(), b.Hidden, e)
	}
	y := make([]float32, b.ReplyRows()*b.Hidden)
	if bad := decodeActivations(y, e, b.Hidden, r.y); bad >= 0 {
		return nil, fmt.Errorf("%w: row %d holds a value that is not finite", experts.ErrBadReply, bad/b.Hidden)
	}
	c.remote.traffic.computed(r.compute, r.queue)
	c.remote.traffic.waited(wait)
	return y, nil
}

// read takes messages until the stream ends.
func (c *clientStream) read() {
	for {
		n, err := readLength(c.r)
		if err == nil {
			err = c.take(n)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// take reads a message of n bytes and hands it to whoever waits for it.
func (c *clientStream) take(n int) error {
	c.mu.Lock()
	most := max(smallMessage, c.reply+resultOverhead)
	if len(c.pings) > 0 {
		most = max(most, filler+smallMessage)
	}
	c.mu.Unlock()
	if n > most {
		return malformed("an answer of %d bytes, %d were asked for", n, most)
	}
	buf, err := readBody(c.r, n)
	if err != nil {
		return err
	}
	c.remote.traffic.received(n)
	kind, nested, err := oneof(buf.b, kindPong)
	if err != nil {
		buf.free()
		return err
	}
	if kind == kindPong {
		pong, err := parsePing(nested)
		buf.free()
		c.ponged(pong)
		return err
	}
	a := answer{buf: buf}
	if err := a.result.parse(nested); err != nil {
		buf.free()
		return err
	}
	c.mu.Lock()
	k, ok := c.calls[a.result.id]
	delete(c.calls, a.result.id)
	c.mu.Unlock()
	if !ok { // given up, or never asked
		buf.free()
		return nil
	}
	k.answer <- a
	return nil
}

// ping keeps the stream warm, measures round trips, and ends the stream when the peer has gone silent.
func (c *clientStream) ping() {
	t := time.NewTicker(c.remote.cfg.PingEvery)
	defer t.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-t.C:
		}
		c.mu.Lock()
		due := len(c.pings) > 0
		c.mu.Unlock()
		silent := time.Since(c.born) - time.Duration(c.heard.Load())
		// A pong queues behind what is under way, both here and there.
		if due && silent > c.remote.cfg.PingTimeout+transferTime(c.load.Load()) {
			c.end(fmt.Errorf("nothing came for %v", silent.Round(time.Millisecond)))
			// The transport has not noticed yet; a new stream on this connection would hang as well.
			_ = c.remote.h.host.Network().ClosePeer(c.remote.peer)
			return
		}
		if due {
			continue
		}
		// In a goroutine of its own: a write that hangs must not keep this loop from noticing it.
		c.remote.spawn(func() { _, _ = c.sendPing(c.remote.ctx, pingEmpty) })
	}
}

// sendPing sends a ping. The channel is closed when its pong comes, and not if the stream ends before.
func (c *clientStream) sendPing(ctx context.Context, k pingKind) (<-chan struct{}, error) {
	p := wirePing{}
	switch k {
	case pingUp:
		p.filler = filler
	case pingDown:
		p.want = filler
	}
	done := make(chan struct{})
	c.mu.Lock()
	c.lastID++
	p.id = c.lastID
	c.pings[p.id] = sentPing{k, time.Now(), done}
	c.mu.Unlock()
	buf := getBuffer()
	defer buf.free()
	return done, c.write(ctx, buf.pingFrame(kindPing, p))
}

func (c *clientStream) ponged(pong wirePing) {
	c.known.Store(pong.encodings | firstEncodings)
	c.mu.Lock()
	p, ok := c.pings[pong.id]
	delete(c.pings, pong.id)
	first := pong.id == 1
	c.mu.Unlock()
	if !ok {
		return
	}
	if !first { // the first waited for the stream to open as well
		c.remote.traffic.line.note(p.kind, time.Since(p.at))
	}
	close(p.done)
}

func (c *clientStream) write(ctx context.Context, frame []byte) error {
	err := c.out.write(ctx, frame)
	if err == nil {
		c.remote.traffic.sent(len(frame))
	}
	return err
}

// end fails every call in flight and tells the Remote. Only the first call counts.
func (c *clientStream) end(why error) {
	c.mu.Lock()
	if c.calls == nil {
		c.mu.Unlock()
		return
	}
	waiting := c.calls
	c.calls = nil
	if errors.Is(why, io.EOF) {
		why = errors.New("the peer ended the stream")
	}
	c.why = fmt.Errorf("%w: %w", experts.ErrGone, why)
	if errors.Is(why, errMalformed) {
		c.why = fmt.Errorf("%w: %w", experts.ErrBadReply, why)
	}
	c.mu.Unlock()
	_ = c.s.Reset()
	close(c.done)
	for _, k := range waiting {
		k.answer <- answer{err: c.why}
	}
	c.remote.gone(c)
}
