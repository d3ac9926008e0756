package convert

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"shoal/rdrr"
	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// TestBoundsExplainTheFactors recovers llama3 scalings of other bounds and contexts from the factors alone.
func TestBoundsExplainTheFactors(t *testing.T) {
	for _, c := range []struct {
		dim                     int
		base                    float64
		factor, low, high, over float64 // over: the context that the bounds are stated for
	}{
		{128, 500000, 8, 1, 4, 8192}, {64, 500000, 32, 1, 4, 8192}, {128, 500000, 8, 2, 3, 4096}, {16, 500000, 32, 1, 4, 64},
		{8, 10000, 4, 1, 4, 512}, {4, 1e6, 2, 1, 32, 8192}, {256, 1e6, 16, 0.5, 8, 32768},
	} {
		slowed, turns := make([]float32, c.dim/2), make([]float64, c.dim/2)
		factor := 1.0
		for i := range slowed {
			w := math.Pow(c.base, -2*float64(i)/float64(c.dim))
			turns[i] = pretrained / (2 * math.Pi) * w
			s := blend(c.over/(2*math.Pi)*w, c.low, c.high)
			slowed[i] = float32(1 / ((1-s)/c.factor + s))
			factor = max(factor, float64(slowed[i]))
		}
		low, high := bounds(slowed, turns, factor)
		if !explains(slowed, turns, factor, low, high) {
			t.Errorf("%+v: bounds %v and %v do not give the factors %v", c, low, high, slowed)
		}
	}
}

func TestReorderedRowsComeBack(t *testing.T) {
	rows := []byte("0a0b0c0d1a1b1c1d") // two heads of four rows of two bytes
	pairs, err := reorderRows(rows, 8, 2, true)
	if err != nil || string(pairs) != "0a0c0b0d1a1c1b1d" {
		t.Errorf("pairs %q, error %v", pairs, err)
	}
	back, err := reorderRows(pairs, 8, 2, false)
	if err != nil || !bytes.Equal(back, rows) {
		t.Errorf("back %q, error %v", back, err)
	}
	if _, err := reorderRows(rows, 8, 3, true); err == nil {
		t.Error("three heads of eight rows: no error")
	}
}

func TestWhatGGUFHolds(t *testing.T) {
	matrix := func(cols int) rdrr.TensorSpec {
		return rdrr.TensorSpec{Name: "model.layers.0.mlp.up_proj.weight", Shape: []int{4, cols}, Role: rdrr.RoleMatrix}
	}
	norm := rdrr.TensorSpec{Name: "model.norm.weight", Shape: []int{256}, Role: rdrr.RoleNorm}
	for _, c := range []struct {
		spec     rdrr.TensorSpec
		from, to quant.Type
	}{
		{matrix(2048), quant.Q4_K, quant.Q4_K}, {matrix(2880), quant.Q4_K, quant.Q8_0}, {matrix(2880), quant.Q6_K, quant.Q8_0},
		{matrix(2880), quant.MXFP4, quant.MXFP4}, {matrix(60), quant.Q8_0, quant.F16}, {matrix(60), quant.BF16, quant.BF16},
		{matrix(2048), quant.F8E4M3, quant.BF16}, {norm, quant.BF16, quant.F32}, {norm, quant.F32, quant.F32},
	} {
		e := &exporter{report: GGUFReport{Recoded: map[string]string{}}}
		got := e.holdable(c.spec, c.from)
		if got != c.to {
			t.Errorf("%s of %v: %s, want %s", c.from, c.spec.Shape, got, c.to)
		}
		if recoded := len(e.report.Recoded) == 1; recoded != (c.spec.Role == rdrr.RoleMatrix && c.from != c.to) {
			t.Errorf("%s of %v: reported %v", c.from, c.spec.Shape, e.report.Recoded)
		}
	}
}

// TestQ5IsReadExactly compares with weights worked out from the format's formula.
func TestQ5IsReadExactly(t *testing.T) {
	const rows, cols = 3, 64
	r := uint32(7)
	stored := make([]byte, 5+rows*cols/q5Block*q5Bytes)
	for i := range stored {
		r = r*1664525 + 1013904223
		stored[i] = byte(r >> 24)
	}
	var want []float32
	for b := stored[5:]; len(b) > 0; b = b[q5Bytes:] {
		quant.Encode(quant.F16, b[:2], []float32{0.25 * float32(len(want)+1)})
		high := uint32(b[2]) | uint32(b[3])<<8 | uint32(b[4])<<16 | uint32(b[5])<<24
		for i := range q5Block {
			low := uint32(b[6+i%16] & 15)
			if i >= 16 {
				low = uint32(b[6+i%16] >> 4)
			}
			want = append(want, 0.25*float32(len(want)-i+1)*float32(int(low|high>>i&1<<4)-16))
		}
	}
	raw := ggufTensor{Tensor: gguf.Tensor{Name: "x", GGML: ggmlQ5, Shape: []int{rows, cols}, Offset: 5}, stored: bytes.NewReader(stored)}
	x, err := raw.asQ8()
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.floats()
	if err != nil || x.Type != quant.Q8_0 || !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v, error %v", x.Type, got[:8], want[:8], err)
	}
	second, err := x.read(2*q8Bytes, 2*q8Bytes)
	whole, _ := x.bytes()
	if err != nil || !bytes.Equal(second, whole[2*q8Bytes:4*q8Bytes]) {
		t.Errorf("the second row alone differs, error %v", err)
	}
	raw.stored = bytes.NewReader(stored[:len(stored)-1])
	if _, err := raw.asQ8(); err == nil {
		t.Error("a truncated file: no error")
	}
}
