package p2p

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/experts"
	"shoal/p2p/link"
	"shoal/rdrr"
)

// BenchmarkRemoteLayer measures one layer's call to a peer on loopback whose runner answers at once: rows of 2048 values to 4
// experts each, one gate-weighted sum back for each row.
func BenchmarkRemoteLayer(b *testing.B) {
	for _, transport := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		name := "tcp"
		if transport != loopback[0] {
			name = "quic"
		}
		for _, enc := range []Encoding{F32, BF16, Int8x128} {
			for _, rows := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%s/rows=%d", name, enc, rows), func(b *testing.B) { benchmarkLayer(b, transport, enc, rows, 0) })
			}
		}
	}
}

// BenchmarkRemoteLayerOverLink is the same with one row over an emulated link: what a call takes beyond the round trip.
func BenchmarkRemoteLayerOverLink(b *testing.B) {
	for _, rtt := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		b.Run(rtt.String(), func(b *testing.B) { benchmarkLayer(b, loopback[0], BF16, 1, rtt) })
	}
}

func benchmarkLayer(b *testing.B, transport string, enc Encoding, rows int, rtt time.Duration) {
	const hidden = 2048
	model := rdrr.Digest{9}
	server := newTestHost(b, Config{Listen: []string{transport}})
	answer := make([]float32, rows*hidden)
	srv, err := NewServer(server, ServerConfig{}, Served{model, rdrr.MoE{Layers: []int{0}, Experts: 64, Hidden: hidden},
		runnerFunc(func(context.Context, experts.Batch) ([]float32, error) { return answer, nil })})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	client := linkedHost(b, link.Config{RTT: rtt})
	if rtt == 0 {
		client = newTestHost(b, Config{Listen: []string{transport}})
	}
	remote := NewRemote(client, peer.AddrInfo{ID: server.ID(), Addrs: server.host.Addrs()}, RemoteConfig{Wire: Wire{Up: enc}, ProbeEvery: -1})
	defer remote.Close()
	batch := experts.Batch{Model: model, Hidden: hidden, X: make([]float32, rows*hidden), Sum: true}
	for r := range rows {
		for e := range 4 {
			batch.Slots = append(batch.Slots, experts.Slot{Row: r, Expert: 8*e + r%8, Weight: 0.25})
		}
	}
	ctx := context.Background()
	for range 50 {
		if _, err := remote.Run(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	took := make([]time.Duration, 0, b.N)
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if _, err := remote.Run(ctx, batch); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	us := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1e3 }
	b.ReportMetric(us(0.5)-float64(rtt.Microseconds()), "p50-us")
	b.ReportMetric(us(0.99)-float64(rtt.Microseconds()), "p99-us")
}
