package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// Proxy accepts connections and passes each on to target through the link, until ctx ends or ln fails. It closes ln, and before
// it returns all connections too. A target that refuses closes the connection that wanted it.
func (l *Link) Proxy(ctx context.Context, ln net.Listener, target string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		near, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		wg.Go(func() { l.forward(ctx, near, target) })
	}
}

func (l *Link) forward(ctx context.Context, near net.Conn, target string) {
	defer near.Close()
	dialer := Dialer{Link: l}
	far, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{far, near}, {near, far}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], onlyReader{way[1]})
			if c, ok := way[0].(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
			}
		})
	}
	wg.Wait()
}

// onlyReader keeps io.Copy from handing the copying to the kernel, which would go around the link.
type onlyReader struct{ io.Reader }
