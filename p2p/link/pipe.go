package link

import (
	"net"
	"os"
	"sync"
	"time"
)

// window is how many bytes of a connection may be under way or wait for the line, each way, before a writer has to wait; as many
// may have arrived without being read. Real systems let a fast connection have about as much.
const window = 4 << 20

// pipe is one way of a connection: a queue of bytes that are delivered when they are due.
type pipe struct {
	link    *Link
	deliver func([]byte) error // called by one goroutine; keeps nothing
	finish  func(error)        // called once, after the last byte, with the reason given to end

	mu     sync.Mutex
	way    *way
	queue  fifo[byte] // not delivered; parts says when
	parts  fifo[part]
	reason error
	ended  bool
	failed error // of deliver

	wake  chan struct{} // holds 1: there is something in the queue, or the end
	space chan struct{} // holds 1: something left the queue
}

func newPipe(l *Link, w *way, deliver func([]byte) error, finish func(error)) *pipe {
	p := &pipe{link: l, way: w, deliver: deliver, finish: finish, wake: make(chan struct{}, 1), space: make(chan struct{}, 1)}
	go p.run()
	return p
}

// put queues b as one burst, waiting for room until stop or deadline is closed.
func (p *pipe) put(b []byte, stop, deadline <-chan struct{}) (n int, err error) {
	for len(b) > 0 {
		p.mu.Lock()
		switch room := window - p.queue.len(); {
		case p.failed != nil:
			p.mu.Unlock()
			return n, p.failed
		case p.ended:
			p.mu.Unlock()
			return n, net.ErrClosed
		case room > 0:
			k := min(room, len(b))
			p.queue.add(b[:k]...)
			p.parts.items = p.way.send(p.parts.items, p.parts.head, p.link.now(), k)
			p.mu.Unlock()
			signal(p.wake)
			b, n = b[k:], n+k
			continue
		}
		p.mu.Unlock()
		select {
		case <-p.space:
		case <-stop:
			return n, net.ErrClosed
		case <-deadline:
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, nil
}

// end makes the queue the last that comes. Only the first reason counts.
func (p *pipe) end(reason error) {
	p.mu.Lock()
	if !p.ended {
		p.ended, p.reason = true, reason
	}
	p.mu.Unlock()
	signal(p.wake)
}

// run delivers until the end.
func (p *pipe) run() {
	alarm := newAlarm()
	defer alarm.close()
	var out []byte
	for {
		p.mu.Lock()
		parts := p.parts.rest()
		if len(parts) == 0 {
			ended, reason := p.ended, p.reason
			p.mu.Unlock()
			if ended {
				// The end travels as the data did.
				alarm.sleep(max(p.link.config.RTT/2, 1))
				p.finish(reason)
				return
			}
			<-p.wake
			continue
		}
		now := p.link.now()
		if due := parts[0].arrives; due > now {
			p.mu.Unlock()
			alarm.wait(p.link.now, due)
			continue
		}
		arrived, bytes := 0, 0
		for arrived < len(parts) && parts[arrived].arrives <= now {
			bytes += parts[arrived].bytes
			arrived++
		}
		out = append(out[:0], p.queue.rest()[:bytes]...)
		p.queue.drop(bytes)
		p.parts.drop(arrived)
		p.mu.Unlock()
		signal(p.space)
		if err := p.deliver(out); err != nil {
			p.mu.Lock()
			p.failed, p.ended, p.reason = err, true, err
			p.queue, p.parts = fifo[byte]{}, fifo[part]{}
			p.mu.Unlock()
			signal(p.space)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fifo is a queue in a slice whose first head items are gone.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int   { return len(f.items) - f.head }
func (f *fifo[T]) rest() []T  { return f.items[f.head:] }
func (f *fifo[T]) add(v ...T) { f.items = append(f.items, v...) }

// drop takes the first n off. What is left moves to the front once it is the smaller half.
func (f *fifo[T]) drop(n int) {
	f.head += n
	if 2*f.head >= len(f.items) {
		f.items = f.items[:copy(f.items, f.items[f.head:])]
		f.head = 0
	}
}

// deadline is a time that can be moved; wait gives a channel that is closed when it has passed.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func newDeadline() *deadline { return &deadline{passed: make(chan struct{})} }

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// set moves the deadline; the zero time takes it away.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // its function has run or is about to
	}
	d.timer = nil
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	passed := d.passed
	if left := time.Until(t); left > 0 {
		d.timer = time.AfterFunc(left, func() { close(passed) })
		return
	}
	close(passed)
}
