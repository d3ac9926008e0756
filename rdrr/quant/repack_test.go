package quant

import (
	"math/rand/v2"
	"testing"
)

// The hub's layouts are decoded here as their publishers describe them, and must equal what the repacked rows decode to.

func TestMXFP4FromHub(t *testing.T) {
	const groups = 5
	r := rand.New(rand.NewPCG(1, 2))
	blocks, scales := make([]byte, 16*groups), make([]byte, groups)
	for i := range blocks {
		blocks[i] = uint8(r.Uint32())
	}
	for i := range scales {
		scales[i] = uint8(110 + r.IntN(30))
	}
	row := make([]byte, MXFP4.RowBytes(32*groups))
	if err := MXFP4FromHub(row, blocks, scales); err != nil {
		t.Fatal(err)
	}
	got := make([]float32, 32*groups)
	Decode(MXFP4, got, row)
	for i, v := range got {
		code := blocks[i/2] >> (4 * (i % 2)) & 15
		values := []float32{0, 0.5, 1, 1.5, 2, 3, 4, 6}
		want := values[code&7] * E8M0ToF32(scales[i/32])
		if code >= 8 {
			want = -want
		}
		if v != want {
			t.Fatalf("weight %d: %g, want %g", i, v, want)
		}
	}
	for _, short := range [][3][]byte{{row[1:], blocks, scales}, {row, blocks[1:], scales}, {row, blocks, scales[1:]}} {
		if MXFP4FromHub(short[0], short[1], short[2]) == nil {
			t.Error("lengths that do not agree were accepted")
		}
	}
}

func TestF8Rows(t *testing.T) {
	for _, c := range []struct{ rows, cols, blockRows, blockCols int }{
		{256, 256, 128, 128}, {5, 300, 128, 128}, {130, 129, 128, 128}, {3, 128, 1, 128}, {7, 1000, 2, 512}, {4, 64, 128, 256},
	} {
		down, across := (c.rows-1)/c.blockRows+1, (c.cols-1)/c.blockCols+1
		r := rand.New(rand.NewPCG(3, 4))
		weights, scales := make([]byte, c.rows*c.cols), make([]float32, down*across)
		for i := range weights {
			weights[i] = uint8(r.UintN(0x7f) + 128*r.UintN(2))
		}
		for i := range scales {
			scales[i] = r.Float32() * 1e-3
		}
		data := make([]byte, c.rows*F8E4M3.RowBytes(c.cols))
		if err := F8Rows(data, weights, c.rows, c.cols, scales, c.blockRows, c.blockCols); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(weights))
		if err := DecodeRows(F8E4M3, got, data, c.cols); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			row, col := i/c.cols, i%c.cols
			if want := E4M3ToF32(weights[i]) * scales[row/c.blockRows*across+col/c.blockCols]; v != want {
				t.Fatalf("%+v: weight [%d, %d]: %g, want %g", c, row, col, v, want)
			}
		}
	}
}

func TestF8RowsRefuses(t *testing.T) {
	data := func(n int) []byte { return make([]byte, n) }
	for name, err := range map[string]error{
		"narrow blocks":  F8Rows(data(132), data(128), 1, 128, make([]float32, 2), 128, 64),
		"odd blocks":     F8Rows(data(264), data(256), 1, 256, make([]float32, 2), 128, 130),
		"no blocks":      F8Rows(data(132), data(128), 1, 128, make([]float32, 1), 0, 128),
		"no rows":        F8Rows(nil, nil, 0, 128, nil, 128, 128),
		"few weights":    F8Rows(data(264), data(255), 2, 128, make([]float32, 1), 128, 128),
		"few scales":     F8Rows(data(264), data(256), 2, 128, nil, 128, 128),
		"many scales":    F8Rows(data(264), data(256), 2, 128, make([]float32, 2), 128, 128),
		"short result":   F8Rows(data(263), data(256), 2, 128, make([]float32, 1), 128, 128),
		"long result":    F8Row(data(133), data(128), make([]float32, 1), 128),
		"row's scales":   F8Row(data(132), data(128), make([]float32, 2), 128),
		"row's no block": F8Row(data(132), data(128), make([]float32, 1), 0),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
