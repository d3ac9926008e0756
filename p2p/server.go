package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"

	"shoal/experts"
	"shoal/rdrr"
)

// Served is a model whose experts this host answers for.
type Served struct {
	Model  rdrr.Digest
	MoE    rdrr.MoE // its layers, number of experts and hidden size: what a request is checked against
	Runner experts.Runner
}

// ServerConfig bounds what peers can make a server do. The zero value means the defaults.
type ServerConfig struct {
	Limits      Limits
	Concurrency int   // requests computed at once; 0: 4
	Queue       int   // requests accepted and not yet answered, computing ones included; 0: 256
	PerStream   int   // of those from one stream; 0: 64
	QueueBytes  int64 // bytes of all accepted requests; 0: 512 MiB
}

const (
	streamsPerPeer = 4                // expert streams that one peer may have open
	writeTimeout   = 20 * time.Second // for one message; a peer that does not read loses its stream
	smallMessage   = 64               // bytes that every message but a Run fits in
)

// Server answers the expert protocol on a host.
type Server struct {
	h     *Host
	cfg   ServerConfig
	slots chan struct{} // holds one token for each request that computes

	mu     sync.Mutex
	served map[rdrr.Digest]Served

	pending atomic.Int64 // requests accepted and not answered
	bytes   atomic.Int64 // of those
	typical atomic.Int64 // moving average of what one request takes to compute, in nanoseconds

	streams map[peer.ID]int // guarded by mu
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closing bool // guarded by mu

	traffic peerTraffic
}

// NewServer begins to answer for the given models. More can be added later.
func NewServer(h *Host, cfg ServerConfig, served ...Served) (*Server, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = 4
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 256
	}
	if cfg.PerStream <= 0 {
		cfg.PerStream = 64
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 512 << 20
	}
	s := &Server{h: h, cfg: cfg, slots: make(chan struct{}, cfg.Concurrency), served: map[rdrr.Digest]Served{}, streams: map[peer.ID]int{}}
	for _, m := range served {
		if err := s.Add(m); err != nil {
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(h.ctx)
	h.host.SetStreamHandler(ExpertProtocol, s.serve)
	return s, nil
}

// Add begins to answer for one more model, or replaces it.
func (s *Server) Add(m Served) error {
	if m.Runner == nil || m.MoE.Hidden <= 0 || m.MoE.Experts <= 0 {
		return fmt.Errorf("serve model %s: needs a runner, a hidden size and a number of experts", m.Model.Short())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served[m.Model] = m
	return nil
}

// Traffic counts what was sent and received with each peer that opened a stream, by peer id.
func (s *Server) Traffic() map[string]Traffic { return s.traffic.snapshot() }

// Close stops answering. Requests that are being computed are cancelled; their peers see the stream end.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.h.host.RemoveStreamHandler(ExpertProtocol)
	s.cancel()
	s.wg.Wait()
	return nil
}

// enter counts a new stream of a peer, unless it has too many or the server is closing.
func (s *Server) enter(p peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.streams[p] >= streamsPerPeer {
		return false
	}
	s.streams[p]++
	s.wg.Add(1)
	return true
}

func (s *Server) leave(p peer.ID) {
	s.mu.Lock()
	if s.streams[p]--; s.streams[p] == 0 {
		delete(s.streams, p)
	}
	s.mu.Unlock()
	s.wg.Done()
}

// serve reads one stream until it ends. It never waits for a computation: each request gets its own goroutine.
func (s *Server) serve(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !s.enter(p) {
		_ = stream.Reset()
		return
	}
	defer s.leave(p)
	s.h.host.ConnManager().Protect(p, string(ExpertProtocol))
	defer s.h.host.ConnManager().Unprotect(p, string(ExpertProtocol))
	ctx, cancel := context.WithCancel(s.ctx)
	stop := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	st := &serverStream{
		srv: s, ctx: ctx, peer: p, out: newFrameWriter(stream), running: map[uint64]context.CancelFunc{},
		traffic: s.traffic.of(p.String()),
	}
	err := st.read(bufio.NewReaderSize(stream, 64<<10))
	if errors.Is(err, io.EOF) {
		// The peer wrote its last; what it still waits for is answered.
		st.wg.Wait()
		stop()
		_ = stream.Close()
	} else if ctx.Err() == nil {
		s.h.log.Debug("expert stream ended", "peer", p, "reason", err)
	}
	cancel()
	st.wg.Wait()
}

// serverStream is one peer's stream.
type serverStream struct {
	srv     *Server
	ctx     context.Context
	peer    peer.ID
	out     *frameWriter
	traffic *traffic
	wg      sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]context.CancelFunc // by request id
}

// read takes messages until the stream ends, and returns why it ended.
func (st *serverStream) read(r *bufio.Reader) error {
	for {
		n, err := readLength(r)
		if err != nil {
			return err
		}
		st.traffic.received(n)
		counted := false
		if n > smallMessage && !(n <= maxPing+smallMessage && startsPing(r)) {
			if refusal := st.admit(n); refusal != nil {
				if err := st.skip(r, n, refusal); err != nil {
					return err
				}
				continue
			}
			counted = true
		}
		buf, err := readBody(r, n)
		if err != nil {
			st.release(counted, n)
			return err
		}
		arrived := time.Now()
		kind, nested, err := oneof(buf.b, kindPing)
		if err == nil && kind == kindRun {
			if !counted {
				// Too short to be a sound request, it is answered all the same.
				st.srv.pending.Add(1)
				st.srv.bytes.Add(int64(n))
			}
			st.run(buf, n, nested, arrived)
			continue
		}
		if err == nil && n > smallMessage && (counted || kind != kindPing) {
			err = malformed("%d bytes for a message of kind %d", n, kind)
		}
		var ping wirePing
		if err == nil {
			ping, err = parsePing(nested)
		}
		buf.free()
		if err != nil {
			st.release(counted, n)
			return err
		}
		if kind == kindCancel {
			st.cancelRun(ping.id)
			continue
		}
		pong := getBuffer()
		err = st.send(pong.pingFrame(kindPong, wirePing{id: ping.id, encodings: encodings, filler: int(ping.want)}))
		pong.free()
		if err != nil {
			return err
		}
	}
}

// admit counts a request of n bytes in, or says why not.
func (st *serverStream) admit(n int) error {
	s := st.srv
	if n > s.cfg.Limits.Message {
		return fmt.Errorf("%w: a message of %d bytes, at most %d", experts.ErrTooLarge, n, s.cfg.Limits.Message)
	}
	st.mu.Lock()
	mine := len(st.running)
	st.mu.Unlock()
	pending, bytes := s.pending.Add(1), s.bytes.Add(int64(n))
	if mine >= s.cfg.PerStream || pending > int64(s.cfg.Queue) || bytes > s.cfg.QueueBytes {
		s.pending.Add(-1)
		s.bytes.Add(int64(-n))
		return fmt.Errorf("%w: %d requests of %d MB wait here, %d of them yours", experts.ErrBusy, pending-1, (bytes-int64(n))>>20, mine)
	}
	return nil
}

// startsPing reports whether the next message is a ping by its first byte.
func startsPing(r *bufio.Reader) bool {
	first, err := r.Peek(1)
	return err == nil && first[0] == kindPing<<3|byte(protowire.BytesType)
}

// release counts a message out that was counted in.
func (st *serverStream) release(counted bool, n int) {
	if counted {
		st.srv.pending.Add(-1)
		st.srv.bytes.Add(int64(-n))
	}
}

// skip passes over a request that is not admitted, and answers it.
func (st *serverStream) skip(r *bufio.Reader, n int, refusal error) error {
	begin, err := r.Peek(min(n, 32))
	if err != nil {
		return err
	}
	id := peekRunID(begin)
	if id == 0 {
		return malformed("%d bytes that do not begin with a request and its id", n)
	}
	if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
		return err
	}
	return st.refuse(id, refusal, 0)
}

// run answers one request in its own goroutine. It owns buf.
func (st *serverStream) run(buf *buffer, n int, nested []byte, arrived time.Time) {
	req := &wireRun{slots: *slotPool.Get().(*[]experts.Slot)}
	parseErr := req.parse(nested, st.srv.cfg.Limits)
	ctx, cancel := context.WithCancel(st.ctx)
	if req.timeout > 0 {
		ctx, cancel = context.WithDeadline(st.ctx, arrived.Add(req.timeout))
	}
	if req.id != 0 {
		st.mu.Lock()
		if _, twice := st.running[req.id]; twice && parseErr == nil {
			parseErr = malformed("request id %d twice at once", req.id)
			req.id = 0
		} else if !twice {
			st.running[req.id] = cancel
		}
		st.mu.Unlock()
	}
	st.wg.Go(func() {
		defer func() {
			ctxErr := ctx.Err()
			cancel()
			if req.id != 0 {
				st.mu.Lock()
				delete(st.running, req.id)
				st.mu.Unlock()
			}
			st.srv.pending.Add(-1)
			st.srv.bytes.Add(int64(-n))
			// A runner that was cancelled may still be reading what it was given: that is left to the garbage collector.
			if ctxErr == nil {
				slotPool.Put(&req.slots)
				buf.free()
			}
		}()
		if err := st.answer(ctx, req, parseErr, arrived); err != nil {
			st.out.fail()
		}
	})
}

// answer computes a request and writes the result. It returns an error when the stream is of no more use.
func (st *serverStream) answer(ctx context.Context, req *wireRun, parseErr error, arrived time.Time) error {
	if req.id == 0 {
		return parseErr
	}
	if parseErr != nil {
		if !errors.Is(parseErr, experts.ErrTooLarge) {
			parseErr = fmt.Errorf("%w: %w", experts.ErrBadRequest, parseErr)
		}
		return st.refuse(req.id, parseErr, 0)
	}
	y, queue, compute, err := st.srv.compute(ctx, req, arrived)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil // nobody waits
		}
		return st.refuse(req.id, err, queue)
	}
	st.traffic.computed(compute, queue)
	out := getBuffer()
	defer out.free()
	return st.send(out.resultFrame(req.id, req.reply, int(req.hidden), y, compute, queue))
}

// compute waits for a turn and runs the request.
func (s *Server) compute(ctx context.Context, req *wireRun, arrived time.Time) (y []float32, queue, compute time.Duration, err error) {
	m, err := s.check(req)
	if err != nil {
		return nil, 0, 0, err
	}
	// Others that are ahead take about their usual time: what cannot be met is refused now, not when it is late.
	if ahead := s.pending.Load() - int64(s.cfg.Concurrency); ahead > 0 && req.timeout > 0 {
		if wait := time.Duration(ahead * s.typical.Load() / int64(s.cfg.Concurrency)); wait >= req.timeout {
			return nil, 0, 0, fmt.Errorf("%w: the queue takes about %v, the request has %v", experts.ErrDeadline, wait.Round(time.Millisecond), req.timeout)
		}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, time.Since(arrived), 0, fmt.Errorf("%w: waited %v", experts.ErrDeadline, time.Since(arrived).Round(time.Millisecond))
	}
	started := time.Now()
	queue = started.Sub(arrived)
	y, err = s.runBatch(ctx, m, req)
	<-s.slots
	compute = time.Since(started)
	s.typical.Store((7*s.typical.Load() + int64(compute)) / 8)
	return y, queue, compute, err
}

// check finds the model of a request and holds the request against its shape.
func (s *Server) check(req *wireRun) (Served, error) {
	s.mu.Lock()
	m, ok := s.served[req.digest()]
	var others []string
	if !ok {
		for d := range s.served {
			others = append(others, d.String())
		}
	}
	s.mu.Unlock()
	switch {
	case !ok:
		slices.Sort(others)
		return m, fmt.Errorf("%w: this peer serves %v, not %s", experts.ErrWrongModel, others[:min(len(others), 8)], req.digest())
	case int(req.hidden) != m.MoE.Hidden:
		return m, fmt.Errorf("%w: rows of %d values; model %s has hidden size %d", experts.ErrBadRequest, req.hidden, m.Model.Short(), m.MoE.Hidden)
	case !slices.Contains(m.MoE.Layers, int(req.layer)):
		return m, fmt.Errorf("%w: layer %d expert %d; model %s has routed experts in other layers", experts.ErrNotHeld,
			req.layer, req.slots[len(req.slots)-1].Expert, m.Model.Short())
	}
	for _, slot := range req.slots {
		if slot.Expert >= m.MoE.Experts {
			return m, fmt.Errorf("%w: layer %d expert %d; model %s has %d", experts.ErrNotHeld, req.layer, slot.Expert, m.Model.Short(), m.MoE.Experts)
		}
	}
	return m, nil
}

var floats = sync.Pool{New: func() any { return new([]float32) }}

// runBatch decodes the rows, runs them, and checks the answer's shape. A panic in the runner costs the request, not the node.
func (s *Server) runBatch(ctx context.Context, m Served, req *wireRun) (y []float32, err error) {
	n := int(req.rows) * int(req.hidden)
	x := floats.Get().(*[]float32)
	defer func() {
		if 4*cap(*x) <= keepBuffer && ctx.Err() == nil { // see serverStream.run
			floats.Put(x)
		}
	}()
	if cap(*x) < n {
		*x = make([]float32, n)
	}
	*x = (*x)[:n]
	b := experts.Batch{Model: m.Model, Layer: int(req.layer), Hidden: int(req.hidden), X: *x, Slots: req.slots, Sum: req.sum}
	if bad := decodeActivations(*x, req.encoding, b.Hidden, req.x); bad >= 0 {
		return nil, fmt.Errorf("%w: layer %d: row %d holds a value that is not finite", experts.ErrBadRequest, b.Layer, bad/b.Hidden)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", experts.ErrBadRequest, err)
	}
	defer func() {
		if r := recover(); r != nil {
			s.h.log.Error("runner panicked", "layer", b.Layer, "panic", r, "stack", string(debug.Stack()))
			y, err = nil, fmt.Errorf("%w: layer %d: the runner panicked", experts.ErrInternal, b.Layer)
		}
	}()
	y, err = m.Runner.Run(ctx, b)
	if err == nil && len(y) != b.ReplyRows()*b.Hidden {
		return nil, fmt.Errorf("%w: layer %d: %d values for %d rows of %d", experts.ErrInternal, b.Layer, len(y), b.ReplyRows(), b.Hidden)
	}
	return y, err
}

func (st *serverStream) refuse(id uint64, err error, queue time.Duration) error {
	st.traffic.failed()
	out := getBuffer()
	defer out.free()
	return st.send(out.refusalFrame(id, err, queue))
}

func (st *serverStream) cancelRun(id uint64) {
	st.mu.Lock()
	cancel := st.running[id]
	st.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (st *serverStream) send(frame []byte) error {
	err := st.out.write(st.ctx, frame)
	if err == nil {
		st.traffic.sent(len(frame))
	}
	return err
}
