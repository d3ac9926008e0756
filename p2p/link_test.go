package p2p

import (
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/experts"
	"shoal/p2p/link"
)

// linkedHost is a host whose dials go through a link.
func linkedHost(t testing.TB, c link.Config) *Host {
	t.Helper()
	l, err := link.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return newTestHost(t, Config{Link: l, Libp2p: []libp2p.Option{libp2p.NoListenAddrs}})
}

// One call over an emulated link takes one round trip, and so does a ping; the peer's QUIC addresses are no way around the link.
func TestRemoteOverLink(t *testing.T) {
	const rtt = 20 * time.Millisecond
	sh := newTestHost(t, Config{})
	srv, err := NewServer(sh, ServerConfig{}, Served{testModel, testMoE, scale(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	r := NewRemote(linkedHost(t, link.Config{RTT: rtt}), peer.AddrInfo{ID: sh.ID(), Addrs: sh.host.Addrs()}, RemoteConfig{})
	t.Cleanup(func() { r.Close() })
	if err := r.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	least := time.Hour
	for range 20 {
		began := time.Now()
		if _, err := r.Run(testContext(t), testBatch(2)); err != nil {
			t.Fatal(err)
		}
		least = min(least, time.Since(began))
	}
	if least < rtt || least > rtt+2*time.Millisecond {
		t.Errorf("the fastest of 20 calls took %v on a link of %v", least, rtt)
	}
	if got := r.RTT(); got < rtt || got > rtt*3/2 {
		t.Errorf("round trip %v on a link of %v", got, rtt)
	}
	_ = srv.Close()
	_ = sh.Close()
	if _, err := r.Run(testContext(t), testBatch(1)); !errors.Is(err, experts.ErrGone) {
		t.Errorf("after the peer has gone: %v", err)
	}
}
