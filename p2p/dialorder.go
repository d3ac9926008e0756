package p2p

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// quicAfterTCP is the head start that TCP gets over QUIC on loopback and private networks, where a small message and its
// answer take about half as long over TCP (BenchmarkRemoteLayer).
const quicAfterTCP = 150 * time.Millisecond

// dialOrder dials TCP first on loopback and private addresses, and leaves the rest to libp2p's order, which prefers QUIC.
func dialOrder(addrs []ma.Multiaddr) []network.AddrDelay {
	var near, rest []ma.Multiaddr
	nearTCP := false
	for _, a := range addrs {
		if _, err := a.ValueForProtocol(ma.P_CIRCUIT); err != nil && (manet.IsPrivateAddr(a) || manet.IsIPLoopback(a)) {
			near = append(near, a)
			if isTCP(a) {
				nearTCP = true
			}
		} else {
			rest = append(rest, a)
		}
	}
	if !nearTCP {
		return swarm.DefaultDialRanker(addrs)
	}
	out := make([]network.AddrDelay, 0, len(addrs))
	for _, a := range near {
		delay := quicAfterTCP
		switch {
		case isTCP(a) && manet.IsIPLoopback(a):
			delay = 0
		case isTCP(a):
			delay = 10 * time.Millisecond
		}
		out = append(out, network.AddrDelay{Addr: a, Delay: delay})
	}
	for _, d := range swarm.DefaultDialRanker(rest) {
		d.Delay += 2 * quicAfterTCP
		out = append(out, d)
	}
	return out
}

func isTCP(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_TCP)
	return err == nil
}
