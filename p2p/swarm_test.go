package p2p

import (
	"context"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/experts"
	"shoal/rdrr"
)

var loopback = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}

var (
	testModel = rdrr.Digest{1, 2, 3}
	testMoE   = rdrr.MoE{Layers: []int{1, 2}, Experts: 8, TopK: 2, Hidden: 16, Intermediate: 32, Activation: "silu"}
)

// runnerFunc is an experts.Runner.
type runnerFunc func(ctx context.Context, b experts.Batch) ([]float32, error)

func (f runnerFunc) Run(ctx context.Context, b experts.Batch) ([]float32, error) { return f(ctx, b) }

// scale is a runner whose expert e multiplies a row by e+1, and which holds what holds says.
func scale(holds experts.Holdings) experts.Runner {
	return runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		y := make([]float32, b.ReplyRows()*b.Hidden)
		for i, s := range b.Slots {
			if holds != nil && !holds[b.Layer].Has(s.Expert) {
				return nil, experts.ErrNotHeld
			}
			for j := range b.Hidden {
				v := b.X[s.Row*b.Hidden+j] * float32(s.Expert+1)
				if b.Sum {
					y[s.Row*b.Hidden+j] += s.Weight * v
				} else {
					y[i*b.Hidden+j] = v
				}
			}
		}
		return y, nil
	})
}

func testBatch(rows int) experts.Batch {
	b := experts.Batch{Model: testModel, Layer: 1, Hidden: testMoE.Hidden, X: make([]float32, rows*testMoE.Hidden)}
	for i := range b.X {
		b.X[i] = float32(i%17) - 8
	}
	for r := range rows {
		b.Slots = append(b.Slots, experts.Slot{Row: r, Expert: r % 8, Weight: 0.75}, experts.Slot{Row: r, Expert: (r + 3) % 8, Weight: 0.25})
	}
	return b
}

// peerInfo is how others dial the host.
func (h *Host) peerInfo() peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.host.Addrs()} }

// checkGoroutines fails the test if goroutines of this package outlive what the test closed.
func checkGoroutines(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var left []string
		for range 100 {
			left = left[:0]
			buf := make([]byte, 4<<20)
			for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if strings.Contains(g, "shoal/p2p.") && !strings.Contains(g, "testing.") {
					left = append(left, g)
				}
			}
			if len(left) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

func newTestHost(t testing.TB, cfg Config) *Host {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = loopback
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := NewHost(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// node is a host that serves and announces.
type node struct {
	*Host
	server   *Server
	announce *Announcer
}

func newTestNode(t testing.TB, holds experts.Holdings, bootstrap ...string) *node {
	t.Helper()
	h := newTestHost(t, Config{Bootstrap: bootstrap, DHTServer: true})
	n := &node{Host: h}
	var err error
	if n.server, err = NewServer(h, ServerConfig{}, Served{testModel, testMoE, scale(holds)}); err != nil {
		t.Fatal(err)
	}
	if n.announce, err = h.Announce(Announcement{Model: testModel, Holds: holds, CapacityBytes: 1 << 20, Device: "test", Build: "v0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *node) stop() {
	_ = n.announce.Close()
	_ = n.server.Close()
	_ = n.Close()
}

func holds(layers []int, from, to int) experts.Holdings {
	h := experts.Holdings{}
	for _, l := range layers {
		var s experts.Set
		for e := from; e < to; e++ {
			s = s.With(e)
		}
		h[l] = s
	}
	return h
}

// TestSwarm is the whole path: three nodes that know one address, a coordinator that finds them all through the DHT, batches
// in exact and fast mode, and a node that goes away.
func TestSwarm(t *testing.T) {
	checkGoroutines(t)
	first := newTestNode(t, holds([]int{1, 2}, 0, 4))
	at := first.Addresses()[0]
	second := newTestNode(t, holds([]int{1, 2}, 4, 8), at)
	third := newTestNode(t, holds([]int{1, 2}, 2, 6), at)

	h := newTestHost(t, Config{Bootstrap: []string{at}})
	began := time.Now()
	d, err := NewDirectory(h, DirectoryConfig{Model: testModel, Layers: testMoE.Layers})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := d.Wait(ctx, func(hs []experts.Holder) bool { return len(hs) == 3 && Covered(testMoE)(hs) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("all found after %v", time.Since(began))

	byID := map[string]experts.Holder{}
	for _, h := range d.Holders() {
		byID[h.Peer] = h
	}
	if got := byID[third.ID().String()].Holds[1].Experts(); len(got) != 4 || got[0] != 2 {
		t.Errorf("third holds %v", got)
	}
	b := testBatch(3)
	b.Slots = b.Slots[:0]
	for r := range 3 {
		b.Slots = append(b.Slots, experts.Slot{Row: r, Expert: 4 + r, Weight: 0.5})
	}
	y, err := byID[second.ID().String()].Runner.Run(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := scale(nil).Run(ctx, b)
	for i := range want {
		if math.Float32bits(y[i]) != math.Float32bits(want[i]) {
			t.Fatalf("value %d is %v, want %v", i, y[i], want[i])
		}
	}

	for _, p := range d.Peers() {
		if !p.Connected || p.Transport != "tcp" || p.Record.Device != "test" || len(p.Addresses) == 0 || p.Traffic.RTT == 0 {
			t.Errorf("%+v", p)
		}
	}
	second.stop()
	gone := func(hs []experts.Holder) bool { return len(hs) == 2 }
	if err := d.Wait(ctx, gone); err != nil {
		t.Fatal(err)
	}
	if missing := experts.Uncovered(testMoE, d.Holders()); missing.Count() != 4 {
		t.Errorf("missing %v", missing)
	}
	if peers := d.Peers(); len(peers) != 3 {
		t.Errorf("%d peers", len(peers))
	}
	newTestNode(t, holds([]int{1, 2}, 6, 8), at)
	if err := d.Wait(ctx, Covered(testMoE)); err != nil {
		t.Fatal(err)
	}
}
