package quant

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// halfValue is the definition of binary16, in float64.
func halfValue(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&0x3ff)
	v := math.Ldexp(1024+frac, exp-25)
	switch {
	case exp == 0:
		v = math.Ldexp(frac, -24)
	case exp == 31 && frac == 0:
		v = math.Inf(1)
	case exp == 31:
		return math.NaN()
	}
	if h&0x8000 != 0 {
		v = -v
	}
	return v
}

func TestEveryHalf(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		got, want := F16ToF32(h), halfValue(h)
		if math.IsNaN(want) {
			if got == got || F32ToF16(got)&0x7fff <= 0x7c00 {
				t.Fatalf("%#04x is NaN, got %g and back %#04x", h, got, F32ToF16(got))
			}
			continue
		}
		if float64(got) != want || math.Signbit(float64(got)) != (h>>15 == 1) {
			t.Fatalf("%#04x is %g, got %g", h, want, got)
		}
		if back := F32ToF16(got); back != h {
			t.Fatalf("%g rounds to %#04x, want %#04x", got, back, h)
		}
	}
}

// TestHalvesRoundToNearestEven looks at the midpoint between every two neighbouring halves and at the floats beside it.
func TestHalvesRoundToNearestEven(t *testing.T) {
	for h := uint16(0); h < 0x7c00; h++ {
		next := halfValue(h + 1)
		if h+1 == 0x7c00 {
			next = 65536 // where the next half would be
		}
		mid := float32((halfValue(h) + next) / 2)
		even := h + h&1
		for _, c := range []struct {
			f    float32
			want uint16
		}{{mid, even}, {math.Nextafter32(mid, 0), h}, {math.Nextafter32(mid, math.MaxFloat32), h + 1}} {
			if got := F32ToF16(c.f); got != c.want {
				t.Fatalf("%g rounds to %#04x, want %#04x", c.f, got, c.want)
			}
			if got := F32ToF16(-c.f); got != c.want|0x8000 {
				t.Fatalf("%g rounds to %#04x, want %#04x", -c.f, got, c.want|0x8000)
			}
		}
	}
	for f, want := range map[float32]uint16{
		65519: 0x7bff, 65520: 0x7c00, 1e30: 0x7c00, float32(math.Inf(1)): 0x7c00, float32(math.Inf(-1)): 0xfc00, 0x1p-25: 0, 0x1.000002p-25: 1,
		math.SmallestNonzeroFloat32: 0,
	} {
		if got := F32ToF16(f); got != want {
			t.Errorf("%g rounds to %#04x, want %#04x", f, got, want)
		}
	}
}

func TestBF16(t *testing.T) {
	for f, want := range map[float32]uint16{
		0: 0, 1: 0x3f80, -1: 0xbf80, 1.00390625: 0x3f80, 1.01171875: 0x3f82, 1.0039063692092896: 0x3f81, math.MaxFloat32: 0x7f80,
		float32(math.Inf(-1)): 0xff80, math.SmallestNonzeroFloat32: 0,
	} {
		if got := F32ToBF16(f); got != want {
			t.Errorf("%g rounds to %#04x, want %#04x", f, got, want)
		}
	}
	// A NaN whose payload lies in the lower half only must not become infinite.
	if got := F32ToBF16(math.Float32frombits(0x7f800001)); BF16ToF32(got) == BF16ToF32(got) {
		t.Errorf("NaN became %#04x", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		h := rapid.Uint16().Draw(t, "bf16")
		if f := BF16ToF32(h); f == f && F32ToBF16(f) != h {
			t.Fatalf("%#04x became %#04x", h, F32ToBF16(f))
		}
	})
}

func TestE4M3(t *testing.T) {
	for b, want := range map[uint8]float32{
		0x00: 0, 0x01: 1. / 512, 0x07: 7. / 512, 0x08: 1. / 64, 0x38: 1, 0x39: 1.125, 0x40: 2, 0x77: 240, 0x7e: 448, 0xb8: -1, 0xfe: -448,
	} {
		if got := E4M3ToF32(b); got != want {
			t.Errorf("%#02x is %g, want %g", b, got, want)
		}
	}
	for i := range 256 {
		b := uint8(i)
		f := E4M3ToF32(b)
		if b&0x7f == 0x7f {
			if f == f || F32ToE4M3(f)&0x7f != 0x7f {
				t.Errorf("%#02x: %g, back %#02x", b, f, F32ToE4M3(f))
			}
			continue
		}
		if back := F32ToE4M3(f); back != b {
			t.Errorf("%g rounds to %#02x, want %#02x", f, back, b)
		}
		if b&0x7f == 0x7e {
			continue
		}
		mid := (f + E4M3ToF32(b+1)) / 2
		if got := F32ToE4M3(mid); got != b+b&1 {
			t.Errorf("%g rounds to %#02x, want the even neighbour of %#02x", mid, got, b)
		}
		if got := F32ToE4M3(math.Nextafter32(mid, f)); got != b {
			t.Errorf("a little under the middle, %g, rounds to %#02x, want %#02x", mid, got, b)
		}
	}
	for f, want := range map[float32]uint8{449: 0x7e, 1e30: 0x7e, float32(math.Inf(-1)): 0xfe, 1e-20: 0} {
		if got := F32ToE4M3(f); got != want {
			t.Errorf("%g rounds to %#02x, want %#02x", f, got, want)
		}
	}
}

func TestE8M0(t *testing.T) {
	for e := range 255 {
		if got, want := E8M0ToF32(uint8(e)), float32(math.Ldexp(1, e-127)); got != want {
			t.Errorf("%d is %g, want %g", e, got, want)
		}
		if got, want := e8m0Half(uint8(e)), float32(math.Ldexp(1, e-128)); got != want {
			t.Errorf("half of %d is %g, want %g", e, got, want)
		}
	}
	if f := E8M0ToF32(255); f == f {
		t.Errorf("255 is %g, want NaN", f)
	}
}
