package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"shoal/cmd/internal/lend"
	"shoal/experts"
)

// nodeProcess is a node that runs as a process of its own on this machine.
type nodeProcess struct {
	ID      string
	Address string // multiaddr with the peer id
	Experts string // of every layer, as ranges

	command *exec.Cmd
	stdin   io.Closer // closing it ends the node, and so does the end of this process
	errors  *bytes.Buffer
	exited  chan struct{}
	status  error // valid once exited is closed
}

// demoShares says which experts each of n nodes holds, of every layer: each expert is on two of the nodes, or on the only one.
func demoShares(n, numExperts int) [][]int {
	shares := make([][]int, n)
	for e := range numExperts {
		first := e * n / numExperts
		shares[first] = append(shares[first], e)
		if second := (first + 1) % n; second != first {
			shares[second] = append(shares[second], e)
		}
	}
	return shares
}

// startNode starts a node on loopback and waits until it holds its experts.
func startNode(ctx context.Context, model, device string, share []int, bootstrap string) (*nodeProcess, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	list := experts.FormatRanges(share)
	args := []string{"node", "--json", "--with-parent", "--model", model, "--device", device, "--experts", list,
		"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"}
	if bootstrap != "" {
		args = append(args, "--bootstrap", bootstrap)
	}
	p := &nodeProcess{command: exec.Command(program, args...), Experts: list, errors: new(bytes.Buffer), exited: make(chan struct{})}
	p.command.Stderr = p.errors
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	events := make(chan lend.Event, 8)
	go func() {
		defer close(p.exited)
		defer close(events)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e lend.Event
			if json.Unmarshal(lines.Bytes(), &e) == nil && (e.Event == "listening" || e.Event == "holding") {
				events <- e
			}
		}
		p.status = p.command.Wait()
	}()
	if err := p.ready(ctx, events); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// nodeStart bounds the time until a node holds its experts.
const nodeStart = 60 * time.Second

func (p *nodeProcess) ready(ctx context.Context, events <-chan lend.Event) error {
	timeout := time.After(nodeStart)
	for {
		select {
		case e, ok := <-events:
			switch {
			case !ok:
				return fmt.Errorf("a node ended before it was ready: %s", bytes.TrimSpace(p.errors.Bytes()))
			case e.Event == "listening" && len(e.Addresses) > 0:
				p.ID, p.Address = e.ID, e.Addresses[0]
			case e.Event == "holding":
				return nil
			}
		case <-timeout:
			return fmt.Errorf("a node was not ready after %v", nodeStart)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the node and waits until it is gone. It is killed if it does not end by itself.
func (p *nodeProcess) stop() {
	_ = p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.command.Process.Kill()
		<-p.exited
	}
}

// startNodes starts one node per share. The first is the others' way into the DHT; the rest start at the same time.
func startNodes(ctx context.Context, model, device string, shares [][]int) (nodes []*nodeProcess, err error) {
	defer func() {
		if err != nil {
			stopNodes(nodes)
			nodes = nil
		}
	}()
	first, err := startNode(ctx, model, device, shares[0], "")
	if err != nil {
		return nil, err
	}
	nodes = append(nodes, first)
	type result struct {
		node *nodeProcess
		err  error
	}
	results := make(chan result, len(shares)-1)
	for _, share := range shares[1:] {
		go func() {
			node, err := startNode(ctx, model, device, share, first.Address)
			results <- result{node, err}
		}()
	}
	for range shares[1:] {
		r := <-results
		if r.node != nil {
			nodes = append(nodes, r.node)
		}
		err = errors.Join(err, r.err)
	}
	return nodes, err
}

func stopNodes(nodes []*nodeProcess) {
	done := make(chan struct{})
	for _, n := range nodes {
		go func() {
			n.stop()
			done <- struct{}{}
		}()
	}
	for range nodes {
		<-done
	}
}
