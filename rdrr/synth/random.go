package synth

import (
	"encoding/binary"
	"math"
)

// random is the generator SplitMix64 (Steele, Lea and Flood 2014): a counter whose values are mixed. It makes eight bytes in
// about a nanosecond, and any number is a good seed.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill fills b with random bytes.
func (r *random) fill(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, r.next())
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], r.next())
		copy(b, last[:])
	}
}

// normal returns a value of the standard normal distribution, to the precision of 32 random bits.
func (r *random) normal() float32 {
	return float32(quantile((float64(r.next()>>32) + 0.5) / (1 << 32)))
}

// quantile is the inverse of the standard normal distribution function.
func quantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
