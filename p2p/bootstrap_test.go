package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

// Every bootstrap address that fails is named with its reason and what to try.
func TestBootstrapErrors(t *testing.T) {
	checkGoroutines(t)
	_, nobody := newKey(t)
	alive := newTestHost(t, Config{Listen: loopback[:1]})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	closed := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", port, nobody)
	aliveAddr := strings.TrimSuffix(alive.Addresses()[0], alive.ID().String())
	for name, c := range map[string]struct {
		addrs []string
		text  []string
	}{
		"refused":        {[]string{closed}, []string{closed, "connection refused", "is the node running"}},
		"another peer":   {[]string{aliveAddr + nobody.String()}, []string{"another peer answers", alive.ID().String()}},
		"two":            {[]string{closed, aliveAddr + nobody.String()}, []string{closed, aliveAddr}},
		"transport":      {[]string{"/ip4/127.0.0.1/sctp/1/p2p/" + nobody.String()}, []string{"/sctp/1"}},
		"not an address": {[]string{"example.org:4001"}, []string{"example.org:4001", "/p2p/PEERID"}},
		"no peer id":     {[]string{"/ip4/127.0.0.1/tcp/4001"}, []string{"/ip4/127.0.0.1/tcp/4001", "/p2p/PEERID"}},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		h, err := NewHost(ctx, Config{Listen: loopback[:1], Bootstrap: c.addrs})
		cancel()
		if err == nil {
			_ = h.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		for _, s := range c.text {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", name, err, s)
			}
		}
	}
	// One of two that works is enough.
	h := newTestHost(t, Config{Listen: loopback[:1], Bootstrap: []string{closed, alive.Addresses()[0]}})
	if len(h.host.Network().Peers()) != 1 {
		t.Error("not connected")
	}
}

func TestBootstrapTimeout(t *testing.T) {
	checkGoroutines(t)
	// A listener that accepts and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, nobody := newKey(t)
	began := time.Now()
	_, err = NewHost(context.Background(), Config{
		Listen: loopback[:1], BootstrapTimeout: 300 * time.Millisecond,
		Bootstrap: []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", l.Addr().(*net.TCPAddr).Port, nobody)},
	})
	if !errors.Is(err, ErrNoBootstrap) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestListenErrors(t *testing.T) {
	for _, s := range []string{"127.0.0.1:4001", "/ip4/203.0.113.77/tcp/0"} {
		h, err := NewHost(context.Background(), Config{Listen: []string{s}})
		if err == nil {
			_ = h.Close()
			t.Errorf("%s: listens", s)
		} else if !strings.Contains(err.Error(), strings.TrimSuffix(s, "/tcp/0")) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// A process that keeps its data folder keeps its peer id.
func TestHostIdentity(t *testing.T) {
	dir := t.TempDir()
	a := newTestHost(t, Config{DataDir: dir})
	_ = a.Close()
	if b := newTestHost(t, Config{DataDir: dir}); a.ID() != b.ID() {
		t.Errorf("%s became %s", a.ID(), b.ID())
	}
}

func TestDialOrder(t *testing.T) {
	addr := ma.StringCast
	delays := func(as ...ma.Multiaddr) map[string]time.Duration {
		out := map[string]time.Duration{}
		for _, d := range dialOrder(as) {
			out[d.Addr.String()] = d.Delay
		}
		if len(out) != len(as) {
			t.Errorf("%d addresses of %d", len(out), len(as))
		}
		return out
	}
	lan := delays(addr("/ip4/192.168.1.2/udp/1/quic-v1"), addr("/ip4/192.168.1.2/tcp/1"), addr("/ip4/198.51.100.3/udp/1/quic-v1"))
	if lan["/ip4/192.168.1.2/tcp/1"] >= lan["/ip4/192.168.1.2/udp/1/quic-v1"] || lan["/ip4/192.168.1.2/tcp/1"] >= lan["/ip4/198.51.100.3/udp/1/quic-v1"] {
		t.Errorf("on a LAN: %v", lan)
	}
	public := delays(addr("/ip4/198.51.100.3/udp/1/quic-v1"), addr("/ip4/198.51.100.3/tcp/1"))
	if public["/ip4/198.51.100.3/udp/1/quic-v1"] >= public["/ip4/198.51.100.3/tcp/1"] {
		t.Errorf("on the internet: %v", public)
	}
	if only := delays(addr("/ip4/127.0.0.1/udp/1/quic-v1")); only["/ip4/127.0.0.1/udp/1/quic-v1"] != 0 {
		t.Errorf("QUIC alone: %v", only)
	}
}
