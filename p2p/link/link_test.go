package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// linked is a connection through a link to a server of the test, and the server's end.
func linked(t *testing.T, c Config) (near, far net.Conn) {
	t.Helper()
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return dial(t, l)
}

func dial(t *testing.T, l *Link) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := Dialer{Link: l}
	near, err = d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func echo(c net.Conn) { _, _ = io.Copy(c, onlyReader{c}) }

// roundTrips sends n small messages, one after the answer to the other, and returns how long each took, ascending.
func roundTrips(t *testing.T, c net.Conn, n int) []time.Duration {
	t.Helper()
	msg := make([]byte, 64)
	out := make([]time.Duration, n)
	for i := range out {
		began := time.Now()
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
		out[i] = time.Since(began)
	}
	slices.Sort(out)
	return out
}

// onTime runs a measurement up to three times until it is on time: a machine that is busy with other things may be late.
func onTime(t *testing.T, measure func() (late string)) {
	t.Helper()
	late := ""
	for range 3 {
		if late = measure(); late == "" {
			return
		}
	}
	t.Error(late)
}

// A round trip never takes less than the link's, and a quarter of them at most a millisecond more: the other three quarters are
// at the mercy of what else runs on the machine.
func TestRoundTrip(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		near, far := linked(t, Config{RTT: rtt})
		go echo(far)
		onTime(t, func() string {
			took := roundTrips(t, near, int(400*time.Millisecond/rtt)+8)
			t.Logf("%v: least %v, median %v, p99 %v", rtt, took[0], took[len(took)/2], took[len(took)*99/100])
			if took[0] < rtt {
				t.Errorf("a round trip of %v takes %v", rtt, took[0])
			}
			if quarter := took[len(took)/4]; quarter > rtt+time.Millisecond {
				return fmt.Sprintf("a quarter of the round trips of %v take up to %v", rtt, quarter)
			}
			return ""
		})
	}
}

func TestJitter(t *testing.T) {
	const rtt, jitter = 8 * time.Millisecond, 4 * time.Millisecond
	near, far := linked(t, Config{RTT: rtt, Jitter: jitter, Seed: 3})
	go echo(far)
	onTime(t, func() string {
		took := roundTrips(t, near, 60)
		if took[0] < rtt-jitter {
			t.Errorf("a round trip of %v ± %v takes %v", rtt, jitter, took[0])
		}
		if took[0] > rtt-jitter/4 || took[54] < rtt+jitter/8 || took[45] > rtt+jitter+time.Millisecond {
			return fmt.Sprintf("round trips of %v ± %v take %v", rtt, jitter, took)
		}
		return ""
	})
}

// The rate holds for all connections of a link together, each way on its own.
func TestRate(t *testing.T) {
	const rate, size = Rate(40e6), 250_000 // 2 Mbit take 50 ms, and headers 1.8 more
	l, _ := New(Config{RTT: 2 * time.Millisecond, Rate: rate})
	data := make([]byte, size)
	bits := 2 * size * 8 * float64(segment+headers) / segment
	want := time.Duration(bits / float64(rate) * float64(time.Second))
	onTime(t, func() string {
		var last time.Duration
		began := time.Now()
		took := make(chan time.Duration, 4)
		for range 2 {
			near, far := dial(t, l)
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go way[0].Write(data)
				go func() {
					_, _ = io.ReadFull(way[1], make([]byte, size))
					took <- time.Since(began)
				}()
			}
		}
		for range 4 {
			last = max(last, <-took)
		}
		t.Logf("%d bytes each way in %v, the rate allows %v", 2*size, last, want)
		if last < want {
			t.Errorf("%d bytes each way took %v, the rate allows %v", 2*size, last, want)
		}
		if last > want*5/4+10*time.Millisecond {
			return fmt.Sprintf("%d bytes each way took %v, the rate allows %v", 2*size, last, want)
		}
		return ""
	})
}

// What the model decides, without a clock: shares of lost and late segments, order, equal seeds.
func TestModel(t *testing.T) {
	c := Config{RTT: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.02, Rate: 100e6}
	run := func(seed uint64) []part {
		w := &way{config: c, line: &line{}, rng: rand.New(rand.NewPCG(seed, 1))}
		var parts []part
		for i := range 4000 {
			parts = w.send(parts, len(parts), time.Duration(i)*time.Second, 2000)
		}
		return parts
	}
	parts := run(1)
	if !slices.Equal(parts, run(1)) {
		t.Error("the same seed gives other times")
	}
	if slices.Equal(parts, run(2)) {
		t.Error("another seed gives the same times")
	}
	late, total, bytes := 0, 0.0, 0
	for i, p := range parts {
		bytes += p.bytes
		if i > 0 && p.arrives <= parts[i-1].arrives {
			t.Fatalf("part %d arrives before part %d", i, i-1)
		}
		if p.arrives%time.Second > c.RTT {
			late++
		}
		total += float64(p.arrives % time.Second)
	}
	// Two segments in each burst; the second waits for a first that is lost.
	if bytes != 4000*2000 || late < 120 || late > 220 {
		t.Errorf("%d bytes, %d of %d parts late, want about 160", bytes, late, len(parts))
	}
	if mean := time.Duration(total / float64(len(parts))); mean < 51*time.Millisecond || mean > 54*time.Millisecond {
		t.Errorf("a part takes %v on average", mean)
	}
	w := &way{config: Config{Rate: 12e6}, line: &line{}}
	if got := w.send(nil, 0, 0, 2*segment); !slices.Equal(got, []part{{segment, time.Millisecond}, {segment, 2 * time.Millisecond}}) {
		t.Errorf("two segments of 12000 bits at 12 Mbit/s: %v", got)
	}
}

// Many bytes in uneven writes come out as they went in, also when they are lost on the way, and the end comes after them.
func TestBytesAndEnd(t *testing.T) {
	near, far := linked(t, Config{RTT: 2 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.05, Rate: 1e9})
	rng := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 6<<20) // more than the window
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	go echoAndClose(far)
	go func() {
		for rest := data; len(rest) > 0; {
			n := min(1+rng.IntN(200_000), len(rest))
			if _, err := near.Write(rest[:n]); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		_ = near.(*conn).CloseWrite()
	}()
	got, err := io.ReadAll(near)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
}

func echoAndClose(c net.Conn) {
	echo(c)
	_ = c.Close()
}

// What was written before Close arrives.
func TestCloseDelivers(t *testing.T) {
	near, far := linked(t, Config{RTT: 20 * time.Millisecond})
	if _, err := near.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	_ = near.Close()
	if _, err := near.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDeadlines(t *testing.T) {
	near, far := linked(t, Config{RTT: 2 * time.Millisecond, Rate: minRate})
	_ = near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	_ = near.SetReadDeadline(time.Time{})
	go far.Write([]byte("x"))
	if _, err := near.Read(make([]byte, 1)); err != nil {
		t.Errorf("read without the deadline: %v", err)
	}
	_ = near.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	if n, err := near.Write(make([]byte, window+1)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %d, %v", n, err)
	}
}

func TestProxy(t *testing.T) {
	const rtt = 10 * time.Millisecond
	l, _ := New(Config{RTT: rtt})
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go echoAndClose(c)
		}
	}()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Proxy(ctx, ln, server.Addr().String()) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	onTime(t, func() string {
		if took := roundTrips(t, c, 8); took[0] < rtt || took[2] > rtt+2*time.Millisecond {
			return fmt.Sprintf("round trips of %v take %v", rtt, took)
		}
		return ""
	})
	_ = c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Errorf("after the end: %d bytes, %v", len(rest), err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]Rate{"20mbit": 20e6, "1.5 Gbit": 1.5e9, "800kbit": 8e5, "9600bit": 9600} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: %v, %v", text, r, err)
		}
		var again Rate
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Errorf("%q is written %q", text, r)
		}
	}
	for text, want := range map[string]Loss{"0.1%": 0.001, "0.01": 0.01, "0": 0, "50 %": 0.5} {
		var l Loss
		if err := l.UnmarshalText([]byte(text)); err != nil || l != want {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "20", "mbit", "-1mbit", "NaNmbit", "1e99gbit"} {
		if err := new(Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("rate %q was taken", text)
		}
	}
	for _, text := range []string{"", "x", "-1%", "101%", "NaN"} {
		if err := new(Loss).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("loss %q was taken", text)
		}
	}
	_, err := New(Config{RTT: -1, Jitter: time.Second, Loss: 0.9, Rate: 1})
	for _, part := range []string{"round-trip time", "jitter", "loss 90%", "rate 1bit"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
	if got := (Config{RTT: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.001, Rate: 20e6}).String(); got != "rtt 30ms, jitter 5ms, loss 0.1%, 20mbit each way" {
		t.Error(got)
	}
}
