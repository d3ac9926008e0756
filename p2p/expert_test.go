package p2p

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/encoding/protowire"

	"shoal/experts"
	"shoal/proto/shoalpb"
	"shoal/rdrr"
)

// pair is a server and a client on loopback.
func pair(t *testing.T, cfg ServerConfig, r experts.Runner, rc RemoteConfig) (*Server, *Remote) {
	t.Helper()
	checkGoroutines(t)
	sh := newTestHost(t, Config{})
	srv, err := NewServer(sh, cfg, Served{testModel, testMoE, r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	remote := dialTest(t, sh, rc)
	return srv, remote
}

func dialTest(t *testing.T, to *Host, rc RemoteConfig) *Remote {
	t.Helper()
	remote := NewRemote(newTestHost(t, Config{}), peer.AddrInfo{ID: to.ID(), Addrs: to.host.Addrs()}, rc)
	t.Cleanup(func() { remote.Close() })
	return remote
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestExactAndFast(t *testing.T) {
	for _, enc := range []Encoding{F32, BF16} {
		for _, sum := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/sum=%v", enc, sum), func(t *testing.T) {
				_, r := pair(t, ServerConfig{}, scale(nil), RemoteConfig{Wire: Wire{Up: enc}})
				for _, rows := range []int{1, 5, 200} {
					b := testBatch(rows)
					b.Sum = sum
					got, err := r.Run(testContext(t), b)
					if err != nil {
						t.Fatal(err)
					}
					want, _ := scale(nil).Run(t.Context(), b)
					if len(got) != len(want) {
						t.Fatalf("%d values, want %d", len(got), len(want))
					}
					for i := range want {
						if d := math.Abs(float64(got[i] - want[i])); enc == F32 && got[i] != want[i] || d > math.Abs(float64(want[i]))/128 {
							t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
						}
					}
				}
				tr := r.Traffic()
				if tr.Calls != 3 || tr.Errors != 0 || tr.BytesSent == 0 || tr.BytesReceived == 0 || tr.Wait == 0 || tr.RTT == 0 {
					t.Errorf("%+v", tr)
				}
			})
		}
	}
}

// Both sides count the same bytes.
func TestTrafficAgrees(t *testing.T) {
	srv, r := pair(t, ServerConfig{}, scale(nil), RemoteConfig{PingEvery: time.Hour})
	for range 10 {
		if _, err := r.Run(testContext(t), testBatch(4)); err != nil {
			t.Fatal(err)
		}
	}
	mine, theirs := r.Traffic(), srv.Traffic()[r.h.ID().String()]
	if mine.BytesSent != theirs.BytesReceived || mine.BytesReceived != theirs.BytesSent || theirs.Calls != 10 {
		t.Errorf("client %+v, server %+v", mine, theirs)
	}
}

// A slow request does not hold up the next one on the same stream.
func TestNoHeadOfLineWait(t *testing.T) {
	release := make(chan struct{})
	_, r := pair(t, ServerConfig{}, runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		if b.Layer == 2 {
			select {
			case <-release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return scale(nil).Run(ctx, b)
	}), RemoteConfig{})
	slow := make(chan error, 1)
	b := testBatch(2)
	b.Layer = 2
	go func() {
		_, err := r.Run(testContext(t), b)
		slow <- err
	}()
	for range 20 {
		if _, err := r.Run(testContext(t), testBatch(2)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-slow:
		t.Fatalf("the slow one ended: %v", err)
	default:
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	_, r := pair(t, ServerConfig{}, scale(nil), RemoteConfig{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				b := testBatch(1 + (i+j)%9)
				got, err := r.Run(testContext(t), b)
				want, _ := scale(nil).Run(t.Context(), b)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%d/%d: %v", i, j, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCancelReachesThePeer(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	_, r := pair(t, ServerConfig{}, runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}), RemoteConfig{})
	ctx, cancel := context.WithCancel(testContext(t))
	go func() { <-began; cancel() }()
	if _, err := r.Run(ctx, testBatch(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("runner: %v", err)
	}
}

func TestDeadline(t *testing.T) {
	_, r := pair(t, ServerConfig{Concurrency: 1}, runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		if _, ok := ctx.Deadline(); !ok {
			return nil, errors.New("no deadline came across")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}), RemoteConfig{})
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Run(ctx, testBatch(1)); !errors.Is(err, experts.ErrDeadline) {
		t.Errorf("%v", err)
	}
}

func TestBusy(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	open := func() { once.Do(func() { close(release) }) }
	_, r := pair(t, ServerConfig{Concurrency: 1, Queue: 3}, runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		<-release
		return scale(nil).Run(ctx, b)
	}), RemoteConfig{})
	defer open()
	var busy, fine atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := r.Run(testContext(t), testBatch(1))
			switch {
			case err == nil:
				fine.Add(1)
			case errors.Is(err, experts.ErrBusy):
				if busy.Add(1) == 5 {
					open()
				}
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if busy.Load() != 5 || fine.Load() != 3 {
		t.Errorf("%d busy, %d fine", busy.Load(), fine.Load())
	}
}

func TestRefusals(t *testing.T) {
	limits := Limits{Rows: 64, Message: 64 << 10}
	_, r := pair(t, ServerConfig{Limits: limits}, scale(holds([]int{1}, 0, 4)), RemoteConfig{})
	other := rdrr.Digest{7}
	for name, c := range map[string]struct {
		change func(*experts.Batch)
		want   error
		text   []string
	}{
		"not held":      {func(b *experts.Batch) { b.Slots[0].Expert = 5 }, experts.ErrNotHeld, nil},
		"another model": {func(b *experts.Batch) { b.Model = other }, experts.ErrWrongModel, []string{other.String(), testModel.String()}},
		"wrong hidden":  {func(b *experts.Batch) { b.Hidden, b.X = 8, make([]float32, 64) }, experts.ErrBadRequest, []string{"8", "16"}},
		"wrong layer":   {func(b *experts.Batch) { b.Layer = 0 }, experts.ErrNotHeld, []string{"layer 0"}},
		"wrong expert":  {func(b *experts.Batch) { b.Slots[0].Expert = 8 }, experts.ErrNotHeld, []string{"expert 8"}},
		"too many rows": {func(b *experts.Batch) { b.X = make([]float32, 65*b.Hidden) }, experts.ErrTooLarge, []string{"64"}},
		"too long":      {func(b *experts.Batch) { b.X = make([]float32, 2000*b.Hidden) }, experts.ErrTooLarge, nil},
		"NaN in":        {func(b *experts.Batch) { b.X[3] = float32(math.NaN()) }, experts.ErrBadRequest, []string{"row 0"}},
	} {
		b := testBatch(2)
		b.Slots = []experts.Slot{{Row: 0, Expert: 1, Weight: 1}, {Row: 1, Expert: 2, Weight: 1}}
		c.change(&b)
		_, err := r.Run(testContext(t), b)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range append(c.text, r.Peer().String()) {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not name %s", name, err, s)
			}
		}
	}
	if _, err := r.Run(testContext(t), experts.Batch{Hidden: 3, X: make([]float32, 4)}); !errors.Is(err, experts.ErrBadRequest) {
		t.Errorf("invalid batch: %v", err)
	}
	if tr := r.Traffic(); tr.Errors != 8 {
		t.Errorf("%d errors counted", tr.Errors)
	}
}

func TestRunnerFailures(t *testing.T) {
	for name, c := range map[string]struct {
		run  runnerFunc
		want error
	}{
		"panic":       {func(context.Context, experts.Batch) ([]float32, error) { panic("boom") }, experts.ErrInternal},
		"wrong shape": {func(context.Context, experts.Batch) ([]float32, error) { return make([]float32, 3), nil }, experts.ErrInternal},
		"other error": {func(context.Context, experts.Batch) ([]float32, error) { return nil, errors.New("disk") }, experts.ErrInternal},
		"NaN": {func(_ context.Context, b experts.Batch) ([]float32, error) {
			y := make([]float32, b.ReplyRows()*b.Hidden)
			y[17] = float32(math.NaN())
			return y, nil
		}, experts.ErrBadReply},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := pair(t, ServerConfig{}, c.run, RemoteConfig{})
			if _, err := r.Run(testContext(t), testBatch(2)); !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A batch over the message size is cut by rows, and the pieces put together again.
func TestSplit(t *testing.T) {
	b := testBatch(5)
	first, second := split(b, 2)
	if first.Validate() != nil || second.Validate() != nil || first.Rows() != 2 || second.Rows() != 3 {
		t.Fatalf("%v %v", first.Validate(), second.Validate())
	}
	y, _ := scale(nil).Run(t.Context(), first)
	z, _ := scale(nil).Run(t.Context(), second)
	want, _ := scale(nil).Run(t.Context(), b)
	if !slices.Equal(append(y, z...), want) {
		t.Error("the halves do not make the whole")
	}
	r := &Remote{cfg: RemoteConfig{}.withDefaults()}
	if r.cut(b) != 0 {
		t.Error("a small batch is cut")
	}
	b = experts.Batch{Hidden: 8192, X: make([]float32, 300*8192), Slots: make([]experts.Slot, 2400)}
	if cut := r.cut(b); cut != 150 { // 2400 rows of 8192 in f32 are 75 MiB
		t.Errorf("cut at %d", cut)
	}
}

// Once the stream is gone, requests end with ErrGone, and the next one opens another.
func TestReconnect(t *testing.T) {
	srv, r := pair(t, ServerConfig{}, scale(nil), RemoteConfig{})
	if _, err := r.Run(testContext(t), testBatch(1)); err != nil {
		t.Fatal(err)
	}
	_ = srv.h.host.Network().ClosePeer(r.h.ID())
	for r.Connected() {
		time.Sleep(time.Millisecond)
	}
	if _, err := r.Run(testContext(t), testBatch(1)); err != nil {
		t.Errorf("after the connection was closed: %v", err)
	}
	_ = srv.Close()
	_ = srv.h.Close()
	for r.Connected() {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if _, err := r.Run(testContext(t), testBatch(1)); !errors.Is(err, experts.ErrGone) {
		t.Errorf("after the peer has gone: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestPeerGoesAwayInFlight(t *testing.T) {
	began := make(chan struct{})
	srv, r := pair(t, ServerConfig{}, runnerFunc(func(ctx context.Context, b experts.Batch) ([]float32, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}), RemoteConfig{})
	go func() { <-began; _ = srv.h.host.Network().ClosePeer(r.h.ID()) }()
	if _, err := r.Run(testContext(t), testBatch(1)); !errors.Is(err, experts.ErrGone) {
		t.Errorf("%v", err)
	}
}

// liar answers the expert protocol with whatever reply makes of a request, after honest pongs.
func liar(t *testing.T, proto protocol.ID, reply func(req *wireRun) []byte) *Host {
	t.Helper()
	h := newTestHost(t, Config{})
	h.host.SetStreamHandler(proto, func(s network.Stream) {
		defer s.Close()
		r := bufio.NewReader(s)
		for {
			n, err := readLength(r)
			if err != nil {
				return
			}
			buf, err := readBody(r, n)
			if err != nil {
				return
			}
			kind, nested, err := oneof(buf.b, kindPing)
			if err != nil {
				return
			}
			var out []byte
			switch kind {
			case kindPing:
				ping, _ := parsePing(nested)
				out = new(buffer).pingFrame(kindPong, wirePing{id: ping.id})
			case kindRun:
				req := new(wireRun)
				if err := req.parse(nested, Limits{}.withDefaults()); err != nil {
					return
				}
				out = reply(req)
			}
			if _, err := s.Write(out); err != nil {
				return
			}
		}
	})
	return h
}

func TestLyingPeers(t *testing.T) {
	frame := func(b []byte) []byte { return append(protowire.AppendVarint(nil, uint64(len(b))), b...) }
	good := func(r *wireRun) []float32 { return make([]float32, len(r.slots)*int(r.hidden)) }
	for name, c := range map[string]struct {
		reply func(r *wireRun) []byte
		want  error
	}{
		"NaN": {func(r *wireRun) []byte {
			y := good(r)
			y[5] = float32(math.NaN())
			return new(buffer).resultFrame(r.id, F32, int(r.hidden), y, 0, 0)
		}, experts.ErrBadReply},
		"infinite": {func(r *wireRun) []byte {
			y := good(r)
			y[5] = float32(math.Inf(-1))
			return new(buffer).resultFrame(r.id, F32, int(r.hidden), y, 0, 0)
		}, experts.ErrBadReply},
		"one row short": {func(r *wireRun) []byte {
			return new(buffer).resultFrame(r.id, F32, int(r.hidden), good(r)[r.hidden:], 0, 0)
		}, experts.ErrBadReply},
		"other hidden": {func(r *wireRun) []byte {
			return new(buffer).resultFrame(r.id, F32, int(r.hidden)/2, good(r), 0, 0)
		}, experts.ErrBadReply},
		"other encoding": {func(r *wireRun) []byte {
			return new(buffer).resultFrame(r.id, BF16, int(r.hidden), good(r), 0, 0)
		}, experts.ErrBadReply},
		"unknown encoding": {func(r *wireRun) []byte {
			return new(buffer).resultFrame(r.id, 3, int(r.hidden), good(r)[:0], 0, 0)
		}, experts.ErrBadReply},
		"unknown number": {func(r *wireRun) []byte {
			b := new(buffer)
			return b.closeFrame(appendVarintField(appendVarintField(b.openFrame(), 1, r.id), 2, 4711), kindResult)
		}, experts.ErrInternal},
		"huge answer": {func(r *wireRun) []byte {
			return append(protowire.AppendVarint(nil, MaxMessage), make([]byte, 1000)...)
		}, experts.ErrBadReply},
		"huge length":      {func(r *wireRun) []byte { return bytes.Repeat([]byte{0xff}, 9) }, experts.ErrGone},
		"truncated varint": {func(r *wireRun) []byte { return []byte{0x01, 0x80} }, experts.ErrBadReply},
		"not protobuf":     {func(r *wireRun) []byte { return frame([]byte{0x0a, 0x05, 0xff, 0xff, 0xff, 0xff, 0xff}) }, experts.ErrBadReply},
		"long detail": {func(r *wireRun) []byte {
			b := new(buffer)
			body := appendVarintField(appendVarintField(b.openFrame(), 1, r.id), 2, uint64(shoalpb.Code_CODE_BUSY))
			body = protowire.AppendString(protowire.AppendTag(body, 3, protowire.BytesType), strings.Repeat("x", maxDetail+1))
			return b.closeFrame(body, kindResult)
		}, experts.ErrBadReply},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			h := liar(t, ExpertProtocol, c.reply)
			r := dialTest(t, h, RemoteConfig{})
			if _, err := r.Run(testContext(t), testBatch(2)); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// An answer for another request, or two for one, is ignored.
func TestUnaskedAnswers(t *testing.T) {
	checkGoroutines(t)
	h := liar(t, ExpertProtocol, func(r *wireRun) []byte {
		y := make([]float32, len(r.slots)*int(r.hidden))
		a := slices.Clone(new(buffer).resultFrame(r.id+1000, F32, int(r.hidden), y, 0, 0))
		b := new(buffer).resultFrame(r.id, F32, int(r.hidden), y, 0, 0)
		return slices.Concat(a, b, b)
	})
	r := dialTest(t, h, RemoteConfig{})
	for range 3 {
		if _, err := r.Run(testContext(t), testBatch(2)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOtherVersion(t *testing.T) {
	checkGoroutines(t)
	h := liar(t, "/shoal/expert/2.0.0", nil)
	r := dialTest(t, h, RemoteConfig{})
	_, err := r.Run(testContext(t), testBatch(1))
	if !errors.Is(err, ErrOtherVersion) || !strings.Contains(err.Error(), "/shoal/expert/2.0.0") || !strings.Contains(err.Error(), string(ExpertProtocol)) {
		t.Errorf("%v", err)
	}
	r = dialTest(t, newTestHost(t, Config{}), RemoteConfig{})
	if _, err := r.Run(testContext(t), testBatch(1)); !errors.Is(err, ErrNoExperts) {
		t.Errorf("%v", err)
	}
}

// A peer that accepts everything and says nothing is given up after PingTimeout.
func TestSilentPeer(t *testing.T) {
	checkGoroutines(t)
	var mute atomic.Bool
	h := newTestHost(t, Config{})
	h.host.SetStreamHandler(ExpertProtocol, func(s network.Stream) {
		r := bufio.NewReader(s)
		for {
			n, err := readLength(r)
			if err != nil {
				_ = s.Reset()
				return
			}
			buf, err := readBody(r, n)
			if err != nil {
				return
			}
			kind, nested, _ := oneof(buf.b, kindPing)
			if ping, _ := parsePing(nested); kind == kindPing && !mute.Load() {
				_, _ = s.Write(new(buffer).pingFrame(kindPong, wirePing{id: ping.id}))
			}
			mute.Store(true)
		}
	})
	r := dialTest(t, h, RemoteConfig{PingEvery: 10 * time.Millisecond, PingTimeout: 50 * time.Millisecond})
	if _, err := r.Run(testContext(t), testBatch(1)); !errors.Is(err, experts.ErrGone) {
		t.Errorf("%v", err)
	}
}

// A client that sends nonsense loses its stream; the server goes on serving the others.
func TestHostileClients(t *testing.T) {
	srv, r := pair(t, ServerConfig{QueueBytes: 8 << 20, Queue: 16}, scale(nil), RemoteConfig{})
	evil := newTestHost(t, Config{})
	b := testBatch(2)
	sound := slices.Clone(new(buffer).runFrame(3, b, F32, F32, 0))
	rng := rand.New(rand.NewPCG(1, 2))
	attacks := [][]byte{
		{0x80},
		bytes.Repeat([]byte{0xff}, 32),
		protowire.AppendVarint(nil, MaxMessage+1),
		append(protowire.AppendVarint(nil, MaxMessage), 1, 2, 3),
		append(protowire.AppendVarint(nil, 100), make([]byte, 100)...),
		sound[:len(sound)-7],
		slices.Concat(sound, sound, sound), // one id three times
		slices.Clone(new(buffer).runFrame(0, b, F32, F32, 0)),
		{0x02, 0x0a, 0x00}, // an empty request
		{0x00},
	}
	for range 40 {
		broken := slices.Clone(sound)
		for range 1 + rng.IntN(6) {
			broken[rng.IntN(len(broken))] = byte(rng.IntN(256))
		}
		attacks = append(attacks, broken)
	}
	for i, a := range attacks {
		ctx := testContext(t)
		if err := evil.host.Connect(ctx, peer.AddrInfo{ID: srv.h.ID(), Addrs: srv.h.host.Addrs()}); err != nil {
			t.Fatal(err)
		}
		s, err := evil.host.NewStream(ctx, srv.h.ID(), ExpertProtocol)
		if err != nil {
			continue // its streams are still being cleared away
		}
		_ = s.SetDeadline(time.Now().Add(2 * time.Second))
		_, _ = s.Write(a)
		_ = s.CloseWrite()
		if _, err := io.Copy(io.Discard, s); err != nil && strings.Contains(err.Error(), "deadline") {
			t.Errorf("attack %d: the stream stayed open", i)
		}
		_ = s.Reset()
	}
	if _, err := r.Run(testContext(t), b); err != nil {
		t.Errorf("an honest client afterwards: %v", err)
	}
	for range 1000 {
		if srv.pending.Load() == 0 && srv.bytes.Load() == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d requests of %d bytes are still counted", srv.pending.Load(), srv.bytes.Load())
}
