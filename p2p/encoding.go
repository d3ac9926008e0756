package p2p

import (
	"fmt"
	"time"

	"shoal/proto/shoalpb"
)

// Encoding is how activations travel.
type Encoding int

// Encodings. F32 is exact. BF16 halves the bytes and keeps 8 bits of the significand. Int8x64 and Int8x128 take a little over one
// byte a value, in blocks of 64 and of 128 values with a scale each; see int8.go.
const (
	F32      = Encoding(shoalpb.Encoding_ENCODING_F32)
	BF16     = Encoding(shoalpb.Encoding_ENCODING_BF16)
	Int8x64  = Encoding(shoalpb.Encoding_ENCODING_INT8_64)
	Int8x128 = Encoding(shoalpb.Encoding_ENCODING_INT8_128)
)

// encodings is what this version reads and writes, as a pong tells it: bit e stands for encoding e.
const encodings = 1<<F32 | 1<<BF16 | 1<<Int8x64 | 1<<Int8x128

// firstEncodings is what a peer understands that tells nothing.
const firstEncodings = 1<<F32 | 1<<BF16

func (e Encoding) String() string {
	switch e {
	case F32:
		return "f32"
	case BF16:
		return "bf16"
	case Int8x64:
		return "int8x64"
	case Int8x128:
		return "int8x128"
	}
	return fmt.Sprintf("encoding %d", int(e))
}

// block is the number of values that share a scale, 0 if none do.
func (e Encoding) block() int {
	switch e {
	case Int8x64:
		return 64
	case Int8x128:
		return 128
	}
	return 0
}

// size is the number of bytes of rows of the given hidden size, and false for an encoding that is not known here.
func (e Encoding) size(rows, hidden int) (int, bool) {
	switch e {
	case F32:
		return 4 * rows * hidden, true
	case BF16:
		return 2 * rows * hidden, true
	case Int8x64, Int8x128:
		blocks := (hidden + e.block() - 1) / e.block()
		return rows * (hidden + 2*blocks), true
	}
	return 0, false
}

// Wire says in which encodings activations go to a peer and come back. The zero value is [WireF32].
type Wire struct {
	Up   Encoding // of the normed input rows; 0: F32
	Down Encoding // of the answer; 0: as Up
	// Auto takes Int8 in place of BF16 for messages that would hold up a round trip otherwise, as measured; see [Wire.choose].
	Auto bool
}

// The ways of [ParseWire]. The answer is summed over experts and added to the residual stream, where outliers live; the normed
// input is tame. So int8 has larger blocks up than down.
var (
	WireF32  = Wire{Up: F32, Down: F32}
	WireBF16 = Wire{Up: BF16, Down: BF16}
	WireInt8 = Wire{Up: Int8x128, Down: Int8x64}
	WireAuto = Wire{Up: BF16, Down: BF16, Auto: true}
)

// ParseWire reads "f32", "bf16", "int8" or "auto".
func ParseWire(s string) (Wire, error) {
	switch s {
	case "f32":
		return WireF32, nil
	case "bf16":
		return WireBF16, nil
	case "int8":
		return WireInt8, nil
	case "auto":
		return WireAuto, nil
	}
	return Wire{}, fmt.Errorf("wire %q: want f32, bf16, int8 or auto", s)
}

func (w Wire) withDefaults() Wire {
	if w.Up == 0 {
		w.Up = F32
	}
	if w.Down == 0 {
		w.Down = w.Up
	}
	return w
}

// A message has to take this share of a round trip on the line, and at least this time, for int8 to be worth its error and its
// work: the two ends take some 10 µs to make and read a small message.
const (
	worth     = 0.1
	worthTime = 50 * time.Microsecond
)

// choose picks the encodings of one call: rows go up, replyRows come down. rates are what is measured of the line, and rtt is the
// round trip of an empty message; where they are not known, nothing changes. known has a bit for every encoding that the peer
// understands; instead of others it gets BF16.
func (w Wire) choose(rtt time.Duration, rates Rates, rows, replyRows, hidden int, known uint64) (up, down Encoding) {
	up, down = w.Up, w.Down
	if w.Auto {
		up = faster(up, WireInt8.Up, rows, hidden, rtt, rates.Up)
		down = faster(down, WireInt8.Down, replyRows, hidden, rtt, rates.Down)
	}
	if known&(1<<up) == 0 {
		up = BF16
	}
	if known&(1<<down) == 0 {
		down = BF16
	}
	if known&^firstEncodings == 0 {
		down = up // a peer of the first version answers as it was asked
	}
	return up, down
}

// faster is smaller if the rows in encoding e take more than the worth of a round trip at that rate in bits per second.
func faster(e, smaller Encoding, rows, hidden int, rtt time.Duration, rate float64) Encoding {
	bytes, _ := e.size(rows, hidden)
	if rate > 0 && rtt > 0 && float64(8*bytes)/rate > max(worth*rtt.Seconds(), worthTime.Seconds()) {
		return smaller
	}
	return e
}
