package p2p

import (
	"encoding/binary"
	"fmt"
	"math"

	"shoal/proto/shoalpb"
)

// Encoding is how activations travel.
type Encoding int

// Encodings. F32 is exact; BF16 halves the bytes and keeps 8 bits of the fraction.
const (
	F32  = Encoding(shoalpb.Encoding_ENCODING_F32)
	BF16 = Encoding(shoalpb.Encoding_ENCODING_BF16)
)

func (e Encoding) String() string {
	switch e {
	case F32:
		return "f32"
	case BF16:
		return "bf16"
	}
	return fmt.Sprintf("encoding %d", int(e))
}

// size is the number of bytes of n values, and false for an encoding that is not known here.
func (e Encoding) size(n int) (int, bool) {
	switch e {
	case F32:
		return 4 * n, true
	case BF16:
		return 2 * n, true
	}
	return 0, false
}

// appendActivations appends x to b in encoding e.
func appendActivations(b []byte, e Encoding, x []float32) []byte {
	n, _ := e.size(len(x))
	at := len(b)
	b = append(b, make([]byte, n)...)
	out := b[at:]
	if e == BF16 {
		for i, v := range x {
			binary.LittleEndian.PutUint16(out[2*i:], bf16(v))
		}
		return b
	}
	for i, v := range x {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
	}
	return b
}

// decodeActivations fills dst from b, which has exactly dst's values in encoding e, and returns the index of the first
// value that is not finite, or -1.
func decodeActivations(dst []float32, e Encoding, b []byte) int {
	const exponent = 0x7f800000
	bad := -1
	if e == BF16 {
		for i := range dst {
			bits := uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16
			if bits&exponent == exponent && bad < 0 {
				bad = i
			}
			dst[i] = math.Float32frombits(bits)
		}
		return bad
	}
	for i := range dst {
		bits := binary.LittleEndian.Uint32(b[4*i:])
		if bits&exponent == exponent && bad < 0 {
			bad = i
		}
		dst[i] = math.Float32frombits(bits)
	}
	return bad
}

// bf16 rounds to nearest even. A NaN stays one; a value beyond bf16's range becomes infinite.
func bf16(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
