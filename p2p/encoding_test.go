package p2p

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"shoal/experts"
	"shoal/experts/runnertest"
	"shoal/p2p/link"
	"shoal/rdrr"
)

// Every value of a block is within half a scale of what it was, and the scale is at most 1/127 of the largest, rounded up to bf16.
func TestInt8Error(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, e := range []Encoding{Int8x64, Int8x128} {
		for _, hidden := range []int{1, 63, 64, 65, 128, 130, 2048, 2880} {
			for _, scale := range []float64{1, 1e-20, 1e30, 1e36} {
				x := make([]float32, 3*hidden)
				for i := range x {
					x[i] = float32(rng.NormFloat64() * scale)
				}
				x[hidden] *= 50 // an outlier costs its own block alone
				b := appendActivations(nil, e, hidden, x)
				if n, ok := e.size(3, hidden); !ok || n != len(b) {
					t.Fatalf("%v, 3 rows of %d: %d bytes, size says %d", e, hidden, len(b), n)
				}
				y := make([]float32, len(x))
				if bad := decodeActivations(y, e, hidden, b); bad >= 0 {
					t.Fatalf("%v, hidden %d, scale %g: value %d is not finite", e, hidden, scale, bad)
				}
				for row := 0; row < len(x); row += hidden {
					for at := row; at < row+hidden; at += e.block() {
						end := min(at+e.block(), row+hidden)
						largest := 0.0
						for _, v := range x[at:end] {
							largest = max(largest, math.Abs(float64(v)))
						}
						bound := largest / 127 / 2 * (1 + 1.0/128) * 1.0001
						for i := at; i < end; i++ {
							if d := math.Abs(float64(x[i]) - float64(y[i])); d > bound {
								t.Fatalf("%v, hidden %d: %g became %g in a block up to %g: off by %g, bound %g", e, hidden, x[i], y[i], largest, d, bound)
							}
						}
					}
				}
			}
		}
	}
}

func TestInt8Extremes(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		x   []float32
		bad int
	}{
		"zeros":             {make([]float32, 70), -1},
		"negative zero":     {[]float32{float32(math.Copysign(0, -1)), 0}, -1},
		"subnormal":         {[]float32{1e-44, -3e-40}, -1},
		"largest":           {[]float32{math.MaxFloat32, -math.MaxFloat32, 1}, -1},
		"largest/2":         {[]float32{math.MaxFloat32 / 2, -1e38}, -1},
		"NaN":               {[]float32{1, nan, 2}, 0},
		"infinite":          {[]float32{1, 2, -inf}, 0},
		"NaN in 2nd block":  {append(make([]float32, 64), nan), 64},
		"one value":         {[]float32{-7}, -1},
		"tiny beside large": {[]float32{1e30, 1e-30, -1e-30}, -1},
	} {
		b := appendActivations(nil, Int8x64, len(c.x), c.x)
		y := make([]float32, len(c.x))
		if bad := decodeActivations(y, Int8x64, len(c.x), b); bad != c.bad {
			t.Errorf("%s: value %d is not finite, want %d", name, bad, c.bad)
		}
		largest := 0.0
		for _, v := range c.x {
			largest = max(largest, math.Abs(float64(v)))
		}
		for i, v := range c.x {
			if c.bad < 0 && math.Abs(float64(v)-float64(y[i])) > largest/250+smallest {
				t.Errorf("%s: %g became %g", name, v, y[i])
			}
		}
	}
	// A peer may send any bytes: what they make is finite, or noticed.
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		b := make([]byte, 2+5)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		y := make([]float32, 5)
		bad := decodeActivations(y, Int8x64, 5, b)
		for _, v := range y {
			if finite := !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0); !finite && bad < 0 {
				t.Fatalf("% x: %v was not noticed", b, y)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	const ms, mbit = time.Millisecond, 1e6
	const all = encodings
	for _, c := range []struct {
		name     string
		wire     Wire
		rtt      time.Duration
		rates    Rates
		rows     int
		known    uint64
		up, down Encoding
	}{
		{"nothing measured", WireAuto, 0, Rates{}, 1, all, BF16, BF16},
		{"no rate", WireAuto, 30 * ms, Rates{}, 1, all, BF16, BF16},
		{"loopback", WireAuto, ms / 10, Rates{5e9, 5e9}, 1, all, BF16, BF16},
		{"lan of 1 Gbit/s", WireAuto, ms / 5, Rates{1e9, 1e9}, 1, all, BF16, BF16},
		{"lan, a prompt", WireAuto, ms / 5, Rates{1e9, 1e9}, 128, all, Int8x128, Int8x64},
		// 4096 bytes take 1.64 ms at 20 Mbit/s.
		{"20 Mbit/s, 10 ms", WireAuto, 10 * ms, Rates{20 * mbit, 20 * mbit}, 1, all, Int8x128, Int8x64},
		{"20 Mbit/s, 30 ms", WireAuto, 30 * ms, Rates{20 * mbit, 20 * mbit}, 1, all, BF16, BF16},
		{"20 Mbit/s, 30 ms, 2 rows", WireAuto, 30 * ms, Rates{20 * mbit, 20 * mbit}, 2, all, Int8x128, Int8x64},
		{"slow uplink", WireAuto, 30 * ms, Rates{5 * mbit, 100 * mbit}, 1, all, Int8x128, BF16},
		{"slow downlink", WireAuto, 30 * ms, Rates{100 * mbit, 5 * mbit}, 1, all, BF16, Int8x64},
		{"slow, peer of the first version", WireAuto, 30 * ms, Rates{mbit, mbit}, 1, firstEncodings, BF16, BF16},
		{"slow, peer knows only blocks of 64", WireAuto, 30 * ms, Rates{mbit, mbit}, 1, firstEncodings | 1<<Int8x64, BF16, Int8x64},
		{"forced", WireInt8, 0, Rates{}, 1, all, Int8x128, Int8x64},
		{"forced, peer of the first version", WireInt8, 0, Rates{}, 1, firstEncodings, BF16, BF16},
		{"forced bf16 on a slow line", WireBF16, 10 * ms, Rates{mbit, mbit}, 9, all, BF16, BF16},
		{"exact", WireF32, 10 * ms, Rates{mbit, mbit}, 9, firstEncodings, F32, F32},
	} {
		if up, down := c.wire.choose(c.rtt, c.rates, c.rows, c.rows, 2048, c.known); up != c.up || down != c.down {
			t.Errorf("%s: %v up, %v down; want %v, %v", c.name, up, down, c.up, c.down)
		}
	}
	for text, want := range map[string]Wire{"f32": WireF32, "bf16": WireBF16, "int8": WireInt8, "auto": WireAuto} {
		if w, err := ParseWire(text); err != nil || w != want {
			t.Errorf("%s: %v, %v", text, w, err)
		}
	}
	if _, err := ParseWire("int4"); err == nil {
		t.Error("int4 was taken")
	}
	if w := (Wire{}).withDefaults(); w != WireF32 {
		t.Errorf("zero is %v", w)
	}
}

// Every encoding serves as a Runner; the rounded ones within their error.
func TestRemoteIsARunner(t *testing.T) {
	moe := rdrr.MoE{Layers: []int{1, 2}, Experts: 6, TopK: 2, Hidden: 136, Intermediate: 20, Activation: "silu"}
	reference := runnertest.Random(moe, experts.Holdings{1: experts.SetOf(0, 2, 5), 2: experts.SetOf(1, 3)}, 1)
	for _, c := range []struct {
		wire      Wire
		tolerance float64
	}{
		{WireF32, 0},
		// bf16 is off by up to 2^-9 of a value, on average by 2^-9/sqrt(3): a mean square error of 1.3e-6 each way, which the
		// experts' products of two terms of the input multiply, the more so where a row nearly cancels.
		{WireBF16, 1e-4},
		// int8 is off by up to half a 127th of a block's largest value, 2.5 to 3 deviations of normal values: on average by
		// 3/127/sqrt(12) of a deviation, a mean square error of 4.6e-5 each way, multiplied as above.
		{WireInt8, 3e-3},
	} {
		t.Run(fmt.Sprint(c.wire.Up), func(t *testing.T) {
			sh := newTestHost(t, Config{})
			srv, err := NewServer(sh, ServerConfig{}, Served{reference.Digest, moe, reference})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { srv.Close() })
			runnertest.Run(t, runnertest.Subject{Runner: dialTest(t, sh, RemoteConfig{Wire: c.wire}), Reference: reference, Tolerance: c.tolerance})
		})
	}
}

// A peer that tells nothing of encodings, or not of these, gets what it understands.
func TestPeerOfTheFirstVersion(t *testing.T) {
	_, r := pair(t, ServerConfig{}, scale(nil), RemoteConfig{Wire: WireInt8, ProbeEvery: -1})
	if err := r.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := r.stream.known.Load(); got != encodings {
		t.Errorf("the peer knows encodings %b, want %b", got, encodings)
	}
	b := testBatch(4)
	b.Sum = true
	before := r.Traffic().BytesSent
	if _, err := r.Run(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	int8 := r.Traffic().BytesSent - before
	r.stream.ponged(wirePing{id: 1 << 40})
	if _, err := r.Run(testContext(t), b); err != nil {
		t.Fatal(err)
	}
	small, _ := Int8x128.size(4, b.Hidden)
	large, _ := BF16.size(4, b.Hidden)
	if bf16 := r.Traffic().BytesSent - before - int8; bf16-int8 < int64(large-small-4) {
		t.Errorf("%d bytes to a new peer, %d to an old one", int8, bf16)
	}
}

// The rate that probes find on a link, and what auto makes of it.
func TestProbesFindTheRate(t *testing.T) {
	const rate = 8e6 // a probe's 8192 bytes and headers take 8.5 ms
	sh := newTestHost(t, Config{})
	srv, err := NewServer(sh, ServerConfig{}, Served{testModel, testMoE, scale(nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	r := NewRemote(linkedHost(t, link.Config{RTT: 4 * time.Millisecond, Rate: rate}), sh.peerInfo(), RemoteConfig{Wire: WireAuto})
	t.Cleanup(func() { r.Close() })
	if err := r.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); r.Rates().Up == 0 || r.Rates().Down == 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatal("no rates after 5 s")
		}
	}
	// The line's rate less headers of TCP, yamux and Noise, some 4 %; and the machine's noise.
	got := r.Rates()
	if got.Up < 0.7*rate || got.Up > rate || got.Down < 0.7*rate || got.Down > rate {
		t.Errorf("measured %.3g up, %.3g down on a line of %.3g", got.Up, got.Down, rate)
	}
	if up, down := r.cfg.Wire.choose(r.RTT(), got, 1, 1, 2048, encodings); up != Int8x128 || down != Int8x64 {
		t.Errorf("%v up, %v down on a slow line", up, down)
	}
}

// Bytes of a call are those of the formula, in every encoding: a request has its rows, one varint row and expert and four bytes of
// weight for each slot, and a few fields; an answer has its rows and a few fields.
func TestBytesPerCall(t *testing.T) {
	const hidden = 2048
	model := rdrr.Digest{9}
	sh := newTestHost(t, Config{})
	srv, err := NewServer(sh, ServerConfig{}, Served{model, rdrr.MoE{Layers: []int{7}, Experts: 128, TopK: 8, Hidden: hidden},
		runnerFunc(func(_ context.Context, b experts.Batch) ([]float32, error) {
			return make([]float32, b.ReplyRows()*b.Hidden), nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	values := map[Encoding]int{F32: 4 * hidden, BF16: 2 * hidden, Int8x64: hidden + 2*hidden/64, Int8x128: hidden + 2*hidden/128}
	for _, w := range []Wire{WireF32, WireBF16, WireInt8, {Up: Int8x128, Down: BF16}, {Up: Int8x64, Down: F32}} {
		for _, rows := range []int{1, 8} {
			for _, sum := range []bool{false, true} {
				r := dialTest(t, sh, RemoteConfig{Wire: w, ProbeEvery: -1, PingEvery: time.Hour})
				if err := r.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				b := experts.Batch{Model: model, Layer: 7, Hidden: hidden, X: make([]float32, rows*hidden), Sum: sum}
				for row := range rows {
					for e := range 8 {
						b.Slots = append(b.Slots, experts.Slot{Row: row, Expert: 16*e + row, Weight: 0.125})
					}
				}
				const calls = 3
				sent, received := r.Bytes()
				for range calls {
					if _, err := r.Run(t.Context(), b); err != nil { // no deadline, so no timeout field
						t.Fatal(err)
					}
				}
				s, v := r.Bytes()
				sent, received = (s-sent)/calls, (v-received)/calls

				slots := len(b.Slots)
				up := rows * values[w.Up]
				list := func(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n } // tag, length, bytes
				run := 2 + list(32) + 2 + 3 + 2 + 2 + 2*list(slots) + list(4*slots) + list(up)
				if sum {
					run += 2
				}
				if w.Down != w.Up {
					run += 2
				}
				wantUp := framed(run)
				down := b.ReplyRows() * values[w.Down]
				result := 2 + 2 + 2 + 3 + list(down) // id, encoding, rows, hidden, y
				wantDown := framed(result)
				// compute and queue times are varints of 0 to 5 bytes after their tags.
				if int(sent) != wantUp || int(received) < wantDown || int(received) > wantDown+2*6+2 {
					t.Errorf("%+v, %d rows, sum %v: %d bytes up, %d down; want %d, %d to %d", w, rows, sum, sent, received, wantUp, wantDown, wantDown+14)
				}
			}
		}
	}
}

// framed is the size of a message with n bytes nested in it, and its length prefix.
func framed(n int) int {
	n += 1 + protowire.SizeVarint(uint64(n))
	return n + protowire.SizeVarint(uint64(n))
}

func BenchmarkEncode(b *testing.B) {
	x := make([]float32, 2048)
	for i := range x {
		x[i] = float32(i%97) - 48
	}
	for _, e := range []Encoding{F32, BF16, Int8x64, Int8x128} {
		out := appendActivations(nil, e, len(x), x)
		b.Run("encode/"+e.String(), func(b *testing.B) {
			for b.Loop() {
				out = appendActivations(out[:0], e, len(x), x)
			}
		})
		b.Run("decode/"+e.String(), func(b *testing.B) {
			for b.Loop() {
				decodeActivations(x, e, len(x), out)
			}
		})
	}
}
