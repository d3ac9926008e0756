package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// ErrNoBootstrap is wrapped when none of the bootstrap addresses could be reached.
var ErrNoBootstrap = errors.New("no bootstrap peer could be reached")

// parseBootstrap reads addresses such as /ip4/192.0.2.1/tcp/4001/p2p/12D3..., several of one peer put together.
func parseBootstrap(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
	at := map[peer.ID]int{}
	for _, s := range addrs {
		info, err := peer.AddrInfoFromString(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("bootstrap address %q: %w; want what the other node printed, such as /ip4/192.0.2.1/tcp/4001/p2p/PEERID", s, err)
		}
		if i, ok := at[info.ID]; ok {
			out[i].Addrs = append(out[i].Addrs, info.Addrs...)
			continue
		}
		at[info.ID] = len(out)
		out = append(out, *info)
	}
	return out, nil
}

// join connects to the bootstrap peers, all at once, and returns when one answered and the others had a moment more, or
// with an error that gives each address's reason when none did.
func (h *Host) join(ctx context.Context, peers []peer.AddrInfo, timeout time.Duration) error {
	var others []peer.AddrInfo
	for _, p := range peers {
		if p.ID != h.ID() {
			others = append(others, p)
		}
	}
	if len(others) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	errs := make([]error, len(others))
	connected := make(chan struct{}, len(others))
	var wg sync.WaitGroup
	for i, p := range others {
		wg.Go(func() {
			if errs[i] = h.host.Connect(ctx, p); errs[i] == nil {
				connected <- struct{}{}
			}
		})
	}
	all := make(chan struct{})
	go func() { wg.Wait(); close(all) }()
	select {
	case <-all:
	case <-connected:
		connected <- struct{}{}
		select {
		case <-all:
		case <-time.After(time.Second): // the rest keep trying only as the DHT needs them
		}
		cancel()
		<-all
	}
	if len(connected) > 0 {
		return nil
	}
	var b strings.Builder
	for i, p := range others {
		for _, line := range dialReasons(p, errs[i]) {
			b.WriteString("\n  " + line)
		}
	}
	return fmt.Errorf("%w:%s", ErrNoBootstrap, b.String())
}

// dialReasons turns a failed dial into one line for each address: the address, why, and what to try.
func dialReasons(p peer.AddrInfo, err error) []string {
	var dial *swarm.DialError
	if errors.As(err, &dial) && len(dial.DialErrors) > 0 {
		lines := make([]string, 0, len(dial.DialErrors))
		for _, e := range dial.DialErrors {
			lines = append(lines, fmt.Sprintf("%s/p2p/%s: %s", e.Address, p.ID, dialReason(e.Cause)))
		}
		return lines
	}
	lines := make([]string, 0, len(p.Addrs))
	for _, a := range p.Addrs {
		lines = append(lines, fmt.Sprintf("%s/p2p/%s: %s", a, p.ID, dialReason(err)))
	}
	return lines
}

func dialReason(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	var other sec.ErrPeerIDMismatch
	var mismatch *sec.ErrPeerIDMismatch
	switch {
	case errors.As(err, &other):
		return fmt.Sprintf("another peer answers there: its id is %s; use the address that the node prints now", other.Actual)
	case errors.As(err, &mismatch):
		return fmt.Sprintf("another peer answers there: its id is %s; use the address that the node prints now", mismatch.Actual)
	case strings.Contains(text, "refused"):
		return "connection refused: nothing listens there; is the node running, and is the port the one it printed?"
	case errors.Is(err, context.DeadlineExceeded) || strings.Contains(text, "timeout") || strings.Contains(text, "deadline"):
		return "no answer in time: check the address, and that a firewall lets the port through"
	case errors.Is(err, swarm.ErrNoTransport):
		return "no transport for this address: use a /tcp/ or /quic-v1 address"
	}
	return text
}
