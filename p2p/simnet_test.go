package p2p

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/x/simlibp2p"
	"github.com/marcopolo/simnet"

	"shoal/experts"
)

const (
	simLatency = 20 * time.Millisecond // one way
	simRTT     = 2 * simLatency
)

// simulation is a network of hosts in simulated time: QUIC over links of 100 Mbit/s.
type simulation struct {
	t   *testing.T
	net *simnet.Simnet
	n   int
	cut atomic.Bool // packets get lost: they take a day
}

func simulate(t *testing.T, f func(*simulation)) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t}
		s.net = &simnet.Simnet{LatencyFunc: func(*simnet.Packet) time.Duration {
			if s.cut.Load() {
				return 24 * time.Hour
			}
			return simLatency
		}}
		s.net.Start()
		f(s)
		s.net.Close()
	})
}

func (s *simulation) host(cfg Config) *Host {
	s.t.Helper()
	link := simnet.LinkSettings{BitsPerSecond: 100 * simlibp2p.OneMbps}
	cfg.Listen = []string{fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", simnet.IntToPublicIPv4(s.n))}
	s.n++
	cfg.Libp2p = []libp2p.Option{
		simlibp2p.QUICSimnet(s.net, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	h, err := NewHost(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func (s *simulation) node(holds experts.Holdings, life time.Duration, bootstrap ...string) *node {
	s.t.Helper()
	n := &node{Host: s.host(Config{Bootstrap: bootstrap, DHTServer: true})}
	var err error
	if n.server, err = NewServer(n.Host, ServerConfig{}, Served{testModel, testMoE, scale(holds)}); err != nil {
		s.t.Fatal(err)
	}
	if n.announce, err = n.Host.Announce(Announcement{Model: testModel, Holds: holds, Life: life}); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *simulation) directory(h *Host) *Directory {
	s.t.Helper()
	d, err := NewDirectory(h, DirectoryConfig{Model: testModel, Layers: testMoE.Layers})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// within fails the test if the directory is not so within d of simulated time, and returns how long it took.
func (s *simulation) within(limit time.Duration, d *Directory, what string, want func([]experts.Holder) bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	if err := d.Wait(ctx, want); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	s.t.Logf("%s after %v", what, time.Since(began))
	return time.Since(began)
}

func count(n int) func([]experts.Holder) bool {
	return func(hs []experts.Holder) bool { return len(hs) == n }
}

// Peers come and go: a coordinator that knows one address finds six nodes, loses one, gains one, and sees new holdings.
func TestChurn(t *testing.T) {
	simulate(t, func(s *simulation) {
		t := s.t
		var nodes []*node
		var at string
		for i := range 6 {
			from := i % 4 * 2
			if i == 0 {
				nodes = append(nodes, s.node(holds(testMoE.Layers, from, from+2), 0))
				at = nodes[0].Addresses()[0]
			} else {
				nodes = append(nodes, s.node(holds(testMoE.Layers, from, from+2), 0, at))
			}
		}
		h := s.host(Config{Bootstrap: []string{at}})
		d := s.directory(h)
		s.within(10*time.Second, d, "all six are found", count(6))
		if !Covered(testMoE)(d.Holders()) {
			t.Error("not covered")
		}
		r := d.Holders()[0].Runner.(*Remote)
		b := testBatch(1)
		b.Slots = []experts.Slot{{Expert: d.Holders()[0].Holds[1].Experts()[0], Weight: 1}}
		began := time.Now()
		if _, err := r.Run(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > simRTT*11/10 {
			t.Errorf("one call took %v with a round trip of %v", took, simRTT)
		}
		if rtt := r.RTT(); rtt < simRTT || rtt > simRTT*5/4 {
			t.Errorf("measured round trip %v, is %v", rtt, simRTT)
		}

		nodes[5].stop()
		s.within(5*time.Second, d, "the one that left is off the list", count(5))
		late := s.node(holds(testMoE.Layers, 0, 8), 0, at)
		s.within(30*time.Second, d, "the newcomer is found", count(6))
		if err := late.announce.Update(Announcement{Model: testModel, Holds: holds([]int{1}, 0, 3)}); err != nil {
			t.Fatal(err)
		}
		s.within(time.Minute, d, "its new holdings are known", func(hs []experts.Holder) bool {
			for _, h := range hs {
				if h.Peer == late.ID().String() {
					return h.Holds[1].Len() == 3 && h.Holds[2].Len() == 0
				}
			}
			return false
		})
		// Half an hour on, records were renewed and everybody is still there.
		time.Sleep(30 * time.Minute)
		if len(d.Holders()) != 6 {
			t.Errorf("%d holders after half an hour", len(d.Holders()))
		}
		for _, e := range h.book.list(nil, time.Now()) {
			if age := time.Since(e.rec.Issued); age > defaultLife {
				t.Errorf("a record of %v", age)
			}
		}
		d.Close()
		h.Close()
		late.stop()
		for _, n := range nodes[:5] {
			n.stop()
		}
	})
}

// A peer that no longer renews its record is dropped at its expiry, though its connection lives.
func TestExpiry(t *testing.T) {
	simulate(t, func(s *simulation) {
		t := s.t
		n := s.node(holds(testMoE.Layers, 0, 8), time.Minute)
		h := s.host(Config{Bootstrap: n.Addresses()})
		d := s.directory(h)
		s.within(10*time.Second, d, "found", count(1))
		time.Sleep(3 * time.Minute)
		if len(d.Holders()) != 1 {
			t.Fatal("a record that is renewed expired")
		}
		n.announce.Close()
		s.within(2*time.Minute, d, "dropped", count(0))
		if h.host.Network().Connectedness(n.ID()) != network.Connected {
			t.Error("the connection is gone, too")
		}
		d.Close()
		h.Close()
		n.stop()
	})
}

// A node whose network vanishes without a word is noticed by its silence, long before QUIC gives up.
func TestSilence(t *testing.T) {
	simulate(t, func(s *simulation) {
		t := s.t
		n := s.node(holds(testMoE.Layers, 0, 8), 0)
		h := s.host(Config{Bootstrap: n.Addresses()})
		d := s.directory(h)
		s.within(10*time.Second, d, "found", count(1))
		s.cut.Store(true)
		if took := s.within(10*time.Second, d, "noticed", count(0)); took > 5*time.Second {
			t.Errorf("noticed after %v", took)
		}
		d.Close()
		h.Close()
		n.stop()
	})
}

// Wait's error says why there is nobody.
func TestNobody(t *testing.T) {
	simulate(t, func(s *simulation) {
		t := s.t
		alone := s.host(Config{})
		d := s.directory(alone)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err := d.Wait(ctx, Covered(testMoE))
		cancel()
		if !errors.Is(err, ErrNoPeers) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connected to nobody") {
			t.Errorf("alone: %v", err)
		}
		d.Close()

		// A node of another model.
		other := s.node(holds(testMoE.Layers, 0, 8), 0)
		h := s.host(Config{Bootstrap: other.Addresses()})
		wanted := testModel
		wanted[0] ^= 0xff
		d, err = NewDirectory(h, DirectoryConfig{Model: wanted, Layers: testMoE.Layers})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		err = d.Wait(ctx, Covered(testMoE))
		cancel()
		if !errors.Is(err, ErrNoPeers) || !errors.Is(err, experts.ErrWrongModel) {
			t.Errorf("other model: %v", err)
		}
		for _, part := range []string{other.ID().String(), testModel.Short(), wanted.Short()} {
			if !strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("other model: %v does not name %s", err, part)
			}
		}
		d.Close()

		// A node of another version.
		newer := s.host(Config{DHTServer: true})
		newer.host.SetStreamHandler("/shoal/expert/2.0.0", func(st network.Stream) { _ = st.Reset() })
		h2 := s.host(Config{Bootstrap: newer.Addresses()})
		d = s.directory(h2)
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		err = d.Wait(ctx, Covered(testMoE))
		cancel()
		if !errors.Is(err, ErrOtherVersion) || !strings.Contains(fmt.Sprint(err), "/shoal/expert/2.0.0") {
			t.Errorf("other version: %v", err)
		}
		d.Close()
		for _, h := range []*Host{alone, h, newer, h2} {
			h.Close()
		}
		other.stop()
	})
}
