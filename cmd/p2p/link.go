package main

import (
	"context"
	"fmt"
	"net"

	"shoal/cmd/internal/setup"
)

type linkCommand struct {
	setup.LinkFlags
	Listen string `required:"" placeholder:"HOST:PORT" help:"Where to accept TCP connections."`
	To     string `required:"" placeholder:"HOST:PORT" help:"Where to pass them on to."`
}

func (c *linkCommand) Help() string {
	return "Example:\n\n    p2p link --listen 127.0.0.1:5001 --to 127.0.0.1:5000 --rtt 30ms --jitter 5ms --loss 0.1% --rate 20mbit"
}

func (c *linkCommand) Run(ctx context.Context) error {
	l, err := c.LinkFlags.Open()
	if err != nil {
		return err
	}
	if l == nil {
		return fmt.Errorf("nothing to emulate: give --rtt, --loss or --rate")
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	fmt.Printf("%s to %s: %s\n", listener.Addr(), c.To, l.Config())
	return l.Proxy(ctx, listener, c.To)
}
