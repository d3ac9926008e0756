package p2p

import (
	"encoding/binary"
	"math"
)

// appendActivations appends rows x of the given hidden size to b in encoding e.
func appendActivations(b []byte, e Encoding, hidden int, x []float32) []byte {
	n, _ := e.size(len(x)/hidden, hidden)
	at := len(b)
	b = append(b, make([]byte, n)...)
	out := b[at:]
	switch block := e.block(); {
	case block > 0:
		for len(x) > 0 {
			out = encodeBlocks(out, block, x[:hidden])
			x = x[hidden:]
		}
	case e == BF16:
		for i, v := range x {
			binary.LittleEndian.PutUint16(out[2*i:], bf16(v))
		}
	default:
		for i, v := range x {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		}
	}
	return b
}

// notFinite is the exponent that infinities and NaNs have.
const notFinite = 0x7f800000

// decodeActivations fills dst, rows of the given hidden size, from b, which has exactly dst's values in encoding e. It returns
// the index of a value that is not finite, the first of its block, or -1.
func decodeActivations(dst []float32, e Encoding, hidden int, b []byte) int {
	bad := -1
	if block := e.block(); block > 0 {
		for row := 0; row < len(dst); row += hidden {
			var at int
			if b, at = decodeBlocks(dst[row:row+hidden], block, b); at >= 0 && bad < 0 {
				bad = row + at
			}
		}
		return bad
	}
	if e == BF16 {
		for i := range dst {
			bits := uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16
			if bits&notFinite == notFinite && bad < 0 {
				bad = i
			}
			dst[i] = math.Float32frombits(bits)
		}
		return bad
	}
	for i := range dst {
		bits := binary.LittleEndian.Uint32(b[4*i:])
		if bits&notFinite == notFinite && bad < 0 {
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
