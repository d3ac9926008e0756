package p2p

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"shoal/experts"
	"shoal/proto/shoalpb"
)

// body takes a frame's length prefix off.
func body(t testing.TB, frame []byte) []byte {
	t.Helper()
	n, k := protowire.ConsumeVarint(frame)
	if k < 0 || int(n) != len(frame)-k {
		t.Fatalf("frame of %d bytes says %d after %d", len(frame), n, k)
	}
	return frame[k:]
}

// asRun is what the generated code should have read, from what ours read.
func asRun(r *wireRun) *shoalpb.Run {
	m := &shoalpb.Run{
		Id: r.id, Model: r.model, Layer: r.layer, Hidden: r.hidden, Rows: r.rows, Encoding: shoalpb.Encoding(r.encoding),
		ReplyEncoding: shoalpb.Encoding(r.reply),
		Sum:           r.sum, TimeoutUs: uint64(r.timeout.Microseconds()), X: r.x,
	}
	if r.reply == r.encoding {
		m.ReplyEncoding = 0 // not told, or told without need
	}
	for _, s := range r.slots {
		m.SlotRows = append(m.SlotRows, uint32(s.Row))
		m.SlotExperts = append(m.SlotExperts, uint32(s.Expert))
		m.SlotWeights = append(m.SlotWeights, s.Weight)
	}
	return m
}

func TestRunFrameIsProtobuf(t *testing.T) {
	for _, w := range []Wire{{F32, F32, false}, {BF16, BF16, false}, {Int8x128, Int8x64, false}, {BF16, Int8x64, false}} {
		e := w.Up
		for _, rows := range []int{1, 3, 70} {
			b := testBatch(rows)
			b.Sum = rows == 3
			buf := getBuffer()
			msg := body(t, buf.runFrame(77, b, w.Up, w.Down, 5*time.Millisecond))
			if id := peekRunID(msg[:min(len(msg), 32)]); id != 77 {
				t.Errorf("peeked id %d", id)
			}
			if len(msg) > runSize(rows, b.Hidden, len(b.Slots), e) {
				t.Errorf("%d rows: %d bytes, over the bound %d", rows, len(msg), runSize(rows, b.Hidden, len(b.Slots), e))
			}
			var generated shoalpb.ClientMessage
			if err := proto.Unmarshal(msg, &generated); err != nil {
				t.Fatal(err)
			}
			kind, nested, err := oneof(msg, kindPing)
			if err != nil || kind != kindRun {
				t.Fatal(kind, err)
			}
			var ours wireRun
			if err := ours.parse(nested, Limits{}.withDefaults()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(generated.GetRun(), asRun(&ours), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(b.Slots, ours.slots); diff != "" {
				t.Error(diff)
			}
			if ours.timeout != 5*time.Millisecond || ours.sum != b.Sum || ours.reply != w.Down || ours.digest() != b.Model {
				t.Errorf("timeout %v sum %v model %v", ours.timeout, ours.sum, ours.digest())
			}
			// A client that knows only the generated code is understood as well.
			again, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&generated)
			if !bytes.Equal(again, msg) {
				t.Errorf("%v, %d rows: the generated code writes other bytes", e, rows)
			}
		}
	}
}

func TestResultFrameIsProtobuf(t *testing.T) {
	y := []float32{1, -2.5, 3, 1e-30, 0, 65504}
	buf := getBuffer()
	msg := body(t, buf.resultFrame(5, F32, 3, y, 123*time.Microsecond, 4*time.Microsecond))
	var generated shoalpb.ServerMessage
	if err := proto.Unmarshal(msg, &generated); err != nil {
		t.Fatal(err)
	}
	r := generated.GetResult()
	if r.Id != 5 || r.Rows != 2 || r.Hidden != 3 || r.ComputeUs != 123 || r.QueueUs != 4 || len(r.Y) != 24 {
		t.Errorf("%v", r)
	}
	msg = body(t, buf.refusalFrame(6, fmt.Errorf("%w: expert 9", experts.ErrNotHeld), time.Millisecond))
	if err := proto.Unmarshal(msg, &generated); err != nil {
		t.Fatal(err)
	}
	if r := generated.GetResult(); r.Code != shoalpb.Code_CODE_NOT_HELD || r.Detail != "expert not held: expert 9" {
		t.Errorf("%v", r)
	}
	for _, id := range []uint64{0, 1, 300, math.MaxUint64} {
		kind, nested, err := oneof(body(t, buf.cancelFrame(id)), kindPing)
		if got, perr := parsePing(nested); kind != kindCancel || got.id != id || err != nil || perr != nil {
			t.Errorf("kind %d id %d, %v %v", kind, got, err, perr)
		}
	}
}

func TestErrorsCrossTheWire(t *testing.T) {
	for _, w := range wireErrors {
		code, detail := codeOf(fmt.Errorf("layer 3: %w: more", w.err))
		if err := errorOf(code, detail); !errors.Is(err, w.err) {
			t.Errorf("%v came back as %v", w.err, err)
		}
	}
	if err := errorOf(99, "new"); !errors.Is(err, experts.ErrInternal) {
		t.Errorf("unknown number: %v", err)
	}
	if code, _ := codeOf(errors.New("disk on fire")); code != shoalpb.Code_CODE_INTERNAL {
		t.Errorf("code %v", code)
	}
	long := clip(string(bytes.Repeat([]byte("ü"), maxDetail)))
	if len(long) > maxDetail || len(long) < maxDetail-2 {
		t.Errorf("clipped to %d", len(long))
	}
	if err := errorOf(shoalpb.Code_CODE_BUSY, "a\x1b[2Jb\n"); bytes.ContainsAny([]byte(err.Error()), "\x1b\n") {
		t.Errorf("%q", err)
	}
}

func TestActivations(t *testing.T) {
	x := []float32{0, 1, -1, 1.0 / 3, 3.1415927, 1e-40, -65504, 3e38, 1.00390625, 1.01171875}
	for _, e := range []Encoding{F32, BF16} {
		b := appendActivations(nil, e, len(x), x)
		y := make([]float32, len(x))
		if bad := decodeActivations(y, e, len(x), b); bad >= 0 {
			t.Fatalf("%v: value %d", e, bad)
		}
		for i := range x {
			if e == F32 && math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				t.Errorf("f32: %v became %v", x[i], y[i])
			}
			// bf16 keeps 8 bits of the significand: half a unit in the last place is at most 2^-8 of the value.
			if err := math.Abs(float64(x[i] - y[i])); e == BF16 && err > math.Abs(float64(x[i]))/256+1e-40 {
				t.Errorf("bf16: %v became %v", x[i], y[i])
			}
		}
	}
	// Ties go to the even neighbour.
	if a, b := bf16(1.00390625), bf16(1.01171875); a != 0x3f80 || b != 0x3f82 {
		t.Errorf("ties round to %x, %x", a, b)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, e := range []Encoding{F32, BF16} {
			y := make([]float32, 3)
			if at := decodeActivations(y, e, 3, appendActivations(nil, e, 3, []float32{1, bad, bad})); at != 1 {
				t.Errorf("%v in %v noticed at %d", bad, e, at)
			}
		}
	}
}

func TestReadFrames(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"end between messages": {nil, io.EOF},
		"truncated length":     {[]byte{0x80}, io.ErrUnexpectedEOF},
		"overlong length":      {bytes.Repeat([]byte{0xff}, 11), nil},
		"huge length":          {protowire.AppendVarint(nil, MaxMessage+1), errMalformed},
		"truncated body":       {append(protowire.AppendVarint(nil, MaxMessage), 1, 2, 3), io.ErrUnexpectedEOF},
	} {
		r := bufio.NewReader(bytes.NewReader(c.in))
		n, err := readLength(r)
		if err == nil {
			_, err = readBody(r, n)
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A length alone must not make anybody allocate: 64 MiB are announced, nothing comes.
func TestLengthAloneAllocatesLittle(t *testing.T) {
	got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, err := readBody(bufio.NewReader(bytes.NewReader([]byte{1, 2, 3})), MaxMessage); err == nil {
				b.Fatal("read 64 MiB from 3 bytes")
			}
		}
	})
	if got.AllocedBytesPerOp() > 2*readPiece {
		t.Errorf("%d bytes allocated", got.AllocedBytesPerOp())
	}
}

// FuzzWireMessage gives the same bytes to our parsers and to the generated code. Ours may refuse more, but what it takes it
// must read as the generated code does.
func FuzzWireMessage(f *testing.F) {
	buf := getBuffer()
	b := testBatch(2)
	f.Add(bytes.Clone(body(f, buf.runFrame(1, b, F32, F32, time.Second))))
	f.Add(bytes.Clone(body(f, buf.runFrame(1<<40, b, BF16, Int8x64, 0))))
	f.Add(bytes.Clone(body(f, buf.resultFrame(3, BF16, 4, make([]float32, 8), 1, 1))))
	f.Add(bytes.Clone(body(f, buf.refusalFrame(3, experts.ErrBusy, 1))))
	f.Add(bytes.Clone(body(f, buf.cancelFrame(9))))
	f.Add(bytes.Clone(body(f, buf.pingFrame(kindPong, wirePing{id: 9, encodings: encodings, filler: 3}))))
	f.Add([]byte{0x0a, 0x80})
	f.Add([]byte{0x0a, 0x04, 0x08, 0x01, 0x48, 0x02}) // slot rows that are not packed
	f.Add([]byte{0x0b, 0x0c})                         // an empty group
	f.Add([]byte("\n\x0a\x80\xe5\xe5\xe5000000"))     // a field number beyond those of protobuf
	lim := Limits{Message: 1 << 16, Rows: 64, Hidden: 256, Slots: 256}
	f.Fuzz(func(t *testing.T, msg []byte) {
		peekRunID(msg)
		if kind, nested, err := oneof(msg, kindPing); err == nil {
			var generated shoalpb.ClientMessage
			if err := proto.Unmarshal(msg, &generated); err == nil {
				compareClient(t, kind, nested, &generated, lim)
			} else if kind == kindRun && new(wireRun).parse(nested, lim) == nil {
				t.Fatalf("the generated code refuses what ours takes: %v", err)
			}
		}
		if kind, nested, err := oneof(msg, kindPong); err == nil && kind == kindResult {
			var ours wireResult
			if ours.parse(nested) != nil {
				return
			}
			var generated shoalpb.ServerMessage
			if err := proto.Unmarshal(msg, &generated); err != nil {
				t.Fatalf("the generated code refuses what ours takes: %v", err)
			}
			g := generated.GetResult()
			if g.Id != ours.id || g.Code != ours.code || g.Detail != ours.detail || Encoding(g.Encoding) != ours.encoding ||
				g.Rows != ours.rows || g.Hidden != ours.hidden || micros(g.ComputeUs) != ours.compute || micros(g.QueueUs) != ours.queue ||
				!bytes.Equal(g.Y, ours.y) {
				t.Fatalf("generated %v, ours %+v", g, ours)
			}
		}
	})
}

func compareClient(t *testing.T, kind protowire.Number, nested []byte, generated *shoalpb.ClientMessage, lim Limits) {
	if kind != kindRun {
		p, err := parsePing(nested)
		g := generated.GetPing()
		if err == nil && (p.id != generated.GetCancel().GetId()+g.GetId() ||
			kind == kindPing && (p.encodings != g.GetEncodings() || p.want != g.GetPongFiller() || p.filler != len(g.GetFiller()))) {
			t.Fatalf("ours %+v, generated %v", p, generated)
		}
		return
	}
	var ours wireRun
	if ours.parse(nested, lim) != nil {
		return
	}
	want := generated.GetRun()
	if want.TimeoutUs >= uint64(maxTimeout/time.Microsecond) {
		want.TimeoutUs = 0
	}
	if want.ReplyEncoding == want.Encoding {
		want.ReplyEncoding = 0
	}
	got := asRun(&ours)
	for i := range got.SlotWeights { // NaN is not equal to itself
		if math.Float32bits(got.SlotWeights[i]) != math.Float32bits(want.SlotWeights[i]) {
			t.Fatalf("weight %d", i)
		}
		got.SlotWeights[i], want.SlotWeights[i] = 0, 0
	}
	if want.Sum != got.Sum || !proto.Equal(want, got) {
		want.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(want, got) {
			t.Fatalf("generated %v, ours %v", want, got)
		}
	}
}

func TestIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a, err := loadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := loadIdentity(dir)
	if err != nil || !a.Equals(b) {
		t.Errorf("another key the second time: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, identityFile))
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadIdentity(dir); err == nil {
		t.Error("took a file that is not a key")
	}
}
