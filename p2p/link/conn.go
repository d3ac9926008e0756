package link

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// conn is a connection behind a link.
type conn struct {
	net.Conn
	up, down    *pipe
	read, write *deadline
	closed      chan struct{}
	closeOnce   sync.Once
	more        chan struct{} // holds 1: something arrived, or the end
	room        chan struct{} // holds 1: the reader took something

	mu      sync.Mutex
	arrived fifo[byte] // to be read
	end     error      // once everything that arrived is read
	half    bool       // up ends with half a close
}

func newConn(l *Link, c net.Conn) *conn {
	k := &conn{
		Conn: c, read: newDeadline(), write: newDeadline(), closed: make(chan struct{}),
		more: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	up, down := l.ways()
	k.up = newPipe(l, up, k.send, k.sent)
	k.down = newPipe(l, down, k.arrive, k.endRead)
	go k.receive()
	return k
}

// send writes what is due to the real connection.
func (k *conn) send(b []byte) error {
	_, err := k.Conn.Write(b)
	return err
}

// sent follows the last byte.
func (k *conn) sent(error) {
	k.mu.Lock()
	half := k.half
	k.mu.Unlock()
	if half {
		if c, ok := k.Conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
		<-k.closed
	}
	_ = k.Conn.Close()
}

// receive puts what comes from the real connection on its way.
func (k *conn) receive() {
	buf := make([]byte, 64<<10)
	for {
		n, err := k.Conn.Read(buf)
		if n > 0 {
			if _, perr := k.down.put(buf[:n], k.closed, nil); perr != nil && err == nil {
				err = perr
			}
		}
		if err != nil {
			k.down.end(err)
			return
		}
	}
}

// arrive hands due bytes to the reader; it waits while the reader is far behind.
func (k *conn) arrive(b []byte) error {
	for {
		k.mu.Lock()
		if k.arrived.len() < window {
			k.arrived.add(b...)
			k.mu.Unlock()
			signal(k.more)
			return nil
		}
		k.mu.Unlock()
		select {
		case <-k.room:
		case <-k.closed:
			return net.ErrClosed
		}
	}
}

func (k *conn) endRead(reason error) {
	k.mu.Lock()
	if reason == nil {
		reason = io.EOF
	}
	k.end = reason
	k.mu.Unlock()
	signal(k.more)
}

// Read reads what has arrived.
func (k *conn) Read(b []byte) (int, error) {
	for {
		select {
		case <-k.closed:
			return 0, net.ErrClosed
		case <-k.read.wait():
			return 0, os.ErrDeadlineExceeded
		default:
		}
		k.mu.Lock()
		n := copy(b, k.arrived.rest())
		k.arrived.drop(n)
		left, end := k.arrived.len(), k.end
		k.mu.Unlock()
		if left > 0 || end != nil {
			signal(k.more) // for another reader, or the next call
		}
		switch {
		case n > 0:
			signal(k.room)
			return n, nil
		case len(b) == 0:
			return 0, nil
		case left == 0 && end != nil:
			return 0, end
		}
		select {
		case <-k.more:
		case <-k.closed:
		case <-k.read.wait():
		}
	}
}

// Write puts b on its way. It returns before b has arrived, as a socket's does.
func (k *conn) Write(b []byte) (int, error) {
	select {
	case <-k.closed:
		return 0, net.ErrClosed
	case <-k.write.wait():
		return 0, os.ErrDeadlineExceeded
	default:
	}
	return k.up.put(b, k.closed, k.write.wait())
}

// CloseWrite ends what goes up; reading goes on.
func (k *conn) CloseWrite() error {
	k.mu.Lock()
	k.half = true
	k.mu.Unlock()
	k.up.end(nil)
	return nil
}

// Close ends the connection for this side at once. The other side sees it when what was written has arrived.
func (k *conn) Close() error {
	k.closeOnce.Do(func() {
		close(k.closed)
		// A peer that takes nothing must not keep the connection for ever.
		_ = k.Conn.SetDeadline(time.Now().Add(closeWait + 2*k.up.link.config.RTT))
		k.up.end(net.ErrClosed)
		k.read.set(time.Time{})
		k.write.set(time.Time{})
	})
	return nil
}

// closeWait is how long what was written before Close may take to arrive.
const closeWait = 5 * time.Second

func (k *conn) SetDeadline(t time.Time) error {
	k.read.set(t)
	k.write.set(t)
	return nil
}

func (k *conn) SetReadDeadline(t time.Time) error {
	k.read.set(t)
	return nil
}

func (k *conn) SetWriteDeadline(t time.Time) error {
	k.write.set(t)
	return nil
}
