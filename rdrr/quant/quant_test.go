package quant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestSize(t *testing.T) {
	for _, c := range []struct {
		t     Type
		shape []int
		want  int
	}{
		{F32, nil, 4}, {F16, []int{3}, 6}, {BF16, []int{2, 3}, 12},
		{Q8_0, []int{2, 32}, 68}, {Q8_0, []int{2, 33}, 136}, {Q4_0, []int{1, 1}, 18},
		{Q4_K, []int{4, 2880}, 4 * 12 * 144}, {Q5_K, []int{2, 3, 256}, 6 * 176}, {Q6_K, []int{960}, 4 * 210},
		{MXFP4, []int{32, 64}, 32 * 34}, {F8E4M3, []int{5, 129}, 5 * 264},
	} {
		got, err := c.t.Size(c.shape)
		if err != nil || got != c.want {
			t.Errorf("%v %v: %d bytes, %v; want %d", c.t, c.shape, got, err, c.want)
		}
	}
	for _, shape := range [][]int{{0}, {-1}, {3, 0}, {0, 3}, {math.MaxInt}, {math.MaxInt, 2}, {1 << 31, 1 << 31, 1 << 31}, {1 << 40, 1 << 40}} {
		if n, err := Q4_K.Size(shape); err == nil {
			t.Errorf("shape %v has %d bytes", shape, n)
		}
	}
	if _, err := Type(99).Size([]int{1}); err == nil {
		t.Error("size of no format")
	}
}

func TestRowsOfOtherLengthsAreRefused(t *testing.T) {
	for _, c := range []struct {
		t                    Type
		weights, bytes, cols int
	}{
		{Q8_0, 64, 67, 32}, {Q8_0, 64, 69, 32}, {Q8_0, 64, 34, 32}, {Q8_0, 63, 68, 32}, {Q8_0, 64, 68, 0}, {Q8_0, 64, 68, -32},
		{Q8_0, 0, 34, 32}, {Q8_0, 0, 0, math.MaxInt}, {Invalid, 1, 4, 1}, {Type(200), 1, 4, 1},
	} {
		if err := DecodeRows(c.t, make([]float32, c.weights), make([]byte, c.bytes), c.cols); err == nil {
			t.Errorf("decoded %+v", c)
		}
		if err := EncodeRows(c.t, make([]byte, c.bytes), make([]float32, c.weights), c.cols); err == nil {
			t.Errorf("encoded %+v", c)
		}
	}
	for _, f := range []func(){
		func() { Decode(Q8_0, make([]float32, 33), make([]byte, 67)) },
		func() { Encode(Q8_0, make([]byte, 33), make([]float32, 1)) },
		func() { Decode(Invalid, nil, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a short row was accepted")
				}
			}()
			f()
		}()
	}
}

// The relative error that a row of normally distributed weights may have in each format. MXFP4's and Q4_0's are the largest.
var normalNMSE = map[Type]float64{
	F32: 0, F16: 1e-7, BF16: 4e-6, Q8_0: 4e-5, Q4_0: 8e-3, Q4_K: 6e-3, Q5_K: 1.6e-3, Q6_K: 4e-4, MXFP4: 1.5e-2, F8E4M3: 9e-4,
}

func TestRoundTripProperties(t *testing.T) {
	for _, typ := range Types() {
		t.Run(typ.String(), rapid.MakeCheck(func(t *rapid.T) {
			cols := rapid.IntRange(1, 600).Draw(t, "cols")
			row := normalRow(rapid.Uint64().Draw(t, "seed"), cols)
			scale := float32(math.Exp2(rapid.Float64Range(-2, 8).Draw(t, "log2 scale")))
			for i := range row {
				row[i] *= scale
			}
			data := bytes.Repeat([]byte{0xaa}, typ.RowBytes(cols)+1)
			Encode(typ, data, row)
			if data[len(data)-1] != 0xaa {
				t.Fatal("encoding wrote past the row")
			}
			back := make([]float32, cols+1)
			back[cols] = 42
			Decode(typ, back[:cols], data)
			if back[cols] != 42 {
				t.Fatal("decoding wrote past the row")
			}
			// Short rows scatter too far around the mean that the figures are for.
			bound := 2 * normalNMSE[typ]
			if e := nmse(back[:cols], row); cols >= 256 && e > bound {
				t.Fatalf("NMSE %g, want at most %g", e, bound)
			}
			// Padding is zeros: the row padded by hand is stored the same.
			block := typ.BlockSize()
			padded := append(row, make([]float32, (block-cols%block)%block)...)
			same := make([]byte, typ.RowBytes(len(padded)))
			Encode(typ, same, padded)
			if !bytes.Equal(same, data[:len(data)-1]) {
				t.Fatal("the row padded with zeros is stored otherwise")
			}
		}))
	}
}

func TestEncodeKeepsWhatItCanHold(t *testing.T) {
	// Rows that are exact in the format survive: small integers scaled by powers of two, with an extreme that fixes the scale.
	extremes := map[Type][2]float32{
		F32: {-99, 99}, F16: {-99, 99}, BF16: {-99, 99}, Q8_0: {-127, 127}, Q4_0: {-8, 7}, MXFP4: {-6, 6}, F8E4M3: {-448, 448},
	}
	for typ, e := range extremes {
		row := make([]float32, 128)
		for i := range row {
			row[i] = float32(i%13) - 6
			if typ == MXFP4 {
				row[i] = e2m1[i%16] / 2
			}
		}
		for b := 0; b < 128; b += 32 {
			row[b], row[b+1] = e[0], e[1]
		}
		for i, v := range roundTrip(t, typ, row, len(row)) {
			if v != row[i] {
				t.Errorf("%v: weight %d: %g became %g", typ, i, row[i], v)
			}
		}
	}
}

func TestEncodeUnusualRows(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	fill := func(v float32) []float32 {
		row := make([]float32, 300)
		for i := range row {
			row[i] = v
		}
		return row
	}
	mixed := func(v ...float32) []float32 {
		row := normalRow(3, 300)
		for i, x := range v {
			row[17*i] = x
		}
		return row
	}
	rows := map[string][]float32{
		"zero": fill(0), "minus zero": fill(float32(math.Copysign(0, -1))), "one value": fill(0.3), "one negative value": fill(-0.3),
		"largest": fill(math.MaxFloat32), "smallest": fill(math.SmallestNonzeroFloat32), "tiny": fill(1e-30), "all NaN": fill(nan),
		"infinite": fill(inf), "beyond f16": fill(1e9), "some NaN": mixed(nan, -nan), "some infinite": mixed(inf, -inf, nan),
		"some huge": mixed(3e38, -3e38, 1e6, -1e6), "positive": fill(5),
	}
	for i := range rows["positive"] {
		rows["positive"][i] += float32(i) / 300
	}
	for name, row := range rows {
		for _, typ := range Types() {
			back := roundTrip(t, typ, row, len(row))
			if typ == F32 || typ == F16 || typ == BF16 {
				continue
			}
			for i, v := range back {
				if v != v || v > math.MaxFloat32 || v < -math.MaxFloat32 {
					t.Errorf("%v, %s: weight %d is %g, stored as %g", typ, name, i, row[i], v)
					break
				}
				if row[i] == 0 && v != 0 && name != "some NaN" {
					t.Errorf("%v, %s: zero is stored as %g", typ, name, v)
					break
				}
			}
			switch name {
			case "one value", "one negative value", "positive":
				// In MXFP4 neighbouring weights differ by up to a half: 2 and 3 times the scale.
				limit := normalNMSE[typ]
				if typ == MXFP4 {
					limit = 0.04
				}
				if e := nmse(back, row); e > limit {
					t.Errorf("%v, %s: NMSE %g", typ, name, e)
				}
			}
		}
	}
}

// Weights so small that the scales of their blocks are subnormal halves, or would round to zero.
func TestEncodeSmallRows(t *testing.T) {
	for _, scale := range []float32{1, 1e-2, 1e-3, 3e-4, 1e-4} {
		row := normalRow(5, 2048)
		for i := range row {
			row[i] *= scale
		}
		for _, typ := range Types() {
			if typ == F16 && scale < 1e-2 {
				continue // its own weights are subnormal then
			}
			if e := nmse(roundTrip(t, typ, row, len(row)), row); e > 4*normalNMSE[typ] && e > 2e-3 {
				t.Errorf("%v, weights of %g: NMSE %g", typ, 0.02*scale, e)
			}
		}
	}
}

// The bytes an encoder writes are part of an artifact's digest, and two people who convert the same checkpoint on different
// machines must get the same. A change to an encoder that changes these is a change that users see.
func TestEncodedBytesAreTheSameEverywhere(t *testing.T) {
	want := map[Type]string{
		F32: "d2e0d37f0a7c", F16: "d4b376063e18", BF16: "cbcf38758393", Q8_0: "4e509b18109d", Q4_0: "410cdd9a58c1", Q4_K: "6c5d78369a23",
		Q5_K: "f4e9258b7647", Q6_K: "a04ac1a5e548", MXFP4: "562d5428c7ea", F8E4M3: "326eb13957b0",
	}
	row := make([]float32, 4096)
	r := rand.New(rand.NewPCG(7, 7))
	for i := range row {
		row[i] = (r.Float32() + r.Float32() + r.Float32() - 1.5) * 0.1
	}
	for _, typ := range Types() {
		data := make([]byte, typ.RowBytes(len(row)))
		Encode(typ, data, row)
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:6]); got != want[typ] {
			t.Errorf("%v: bytes with hash %s, want %s", typ, got, want[typ])
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, typ := range Types() {
		row := make([]float32, 300)
		data := make([]byte, typ.RowBytes(len(row)))
		if n := testing.AllocsPerRun(10, func() { Decode(typ, row, data) }); n != 0 {
			t.Errorf("%v: %g allocations", typ, n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, typ := range Types() {
		data := make([]byte, typ.RowBytes(300))
		Encode(typ, data, normalRow(1, 300))
		f.Add(uint8(typ), 300, data)
		for i := range data {
			data[i] = 0xff
		}
		f.Add(uint8(typ), 1, data[:typ.BlockBytes()])
	}
	f.Fuzz(func(t *testing.T, b uint8, cols int, data []byte) {
		typ := Type(b)
		if cols < 0 || cols > 1<<16 {
			return
		}
		row := make([]float32, cols)
		if err := DecodeRows(typ, row, data, cols); err != nil {
			return
		}
		// What was read can be written, and then read as finite weights by the block formats.
		again := make([]byte, typ.RowBytes(cols))
		Encode(typ, again, row)
		Decode(typ, row, again)
		for i, v := range row {
			if typ.BlockSize() > 1 && (v != v || math.IsInf(float64(v), 0)) {
				t.Fatalf("%v: weight %d encoded as %g", typ, i, v)
			}
		}
	})
}
