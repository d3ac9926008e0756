package p2p

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// frameWriter writes whole frames to a stream, one at a time.
type frameWriter struct {
	s    network.Stream
	turn chan struct{} // holds 1; whoever has put its token in may write
}

func newFrameWriter(s network.Stream) *frameWriter {
	return &frameWriter{s: s, turn: make(chan struct{}, 1)}
}

// write sends a frame. ctx bounds the wait for a turn; once a frame has begun, only writeTimeout ends it, because half a
// frame would spoil the stream for every other request. After an error the stream is reset.
func (w *frameWriter) write(ctx context.Context, frame []byte) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.turn }()
	_ = w.s.SetWriteDeadline(time.Now().Add(writeTimeout + transferTime(int64(len(frame)))))
	_, err := w.s.Write(frame)
	if err != nil {
		w.fail()
	}
	return err
}

// transferTime is what n bytes may take on a slow line, 256 KiB/s.
func transferTime(n int64) time.Duration { return time.Duration(n) * time.Second / (256 << 10) }

// fail ends the stream.
func (w *frameWriter) fail() { _ = w.s.Reset() }
