package quant

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"strings"
	"testing"
)

// vectors are rows quantised and decoded by ggml: "input", and for each format NAME "NAME.bytes" and "NAME.decoded".
// testdata/vectors.json says how they were made, and gives the error of ggml's own quantisers.
type vectors struct {
	Rows, Columns int
	NMSE          map[string]float64 `json:"nmse_rows_0_to_7"`
	tensors       map[string][]byte
}

func readVectors(t testing.TB) *vectors {
	t.Helper()
	v := &vectors{tensors: map[string][]byte{}}
	head, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(head, v); err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile("testdata/vectors.safetensors.gz")
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(file)
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(file[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	for name, entry := range header {
		v.tensors[name] = file[8+n:][entry.Offsets[0]:entry.Offsets[1]]
	}
	return v
}

func (v *vectors) floats(name string) []float32 {
	b := v.tensors[name]
	f := make([]float32, len(b)/4)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return f
}

var vectorTypes = []Type{F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, MXFP4}

func vectorName(t Type) string { return strings.ToLower(t.String()) }

func TestDecodeVectors(t *testing.T) {
	v := readVectors(t)
	for _, typ := range vectorTypes {
		src, want := v.tensors[vectorName(typ)+".bytes"], v.floats(vectorName(typ)+".decoded")
		if len(want) != v.Rows*v.Columns {
			t.Fatalf("%v: %d vectors", typ, len(want))
		}
		got := make([]float32, len(want))
		if err := DecodeRows(typ, got, src, v.Columns); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%v: row %d column %d: %g, want %g", typ, i/v.Columns, i%v.Columns, got[i], want[i])
			}
		}
	}
}

func TestEncodeNoWorseThanGGML(t *testing.T) {
	v := readVectors(t)
	input := v.floats("input")
	for _, typ := range vectorTypes {
		limit, ok := v.NMSE[vectorName(typ)]
		if !ok {
			t.Fatalf("%v: no figure", typ)
		}
		for _, part := range []struct {
			name  string
			first int
			limit float64
		}{{"rows 0 to 7", 0, limit}, {"rows 8 to 15", 8, nmse(v.floats(vectorName(typ) + ".decoded")[8*v.Columns:], input[8*v.Columns:])}} {
			src := input[part.first*v.Columns:][:8*v.Columns]
			got := nmse(roundTrip(t, typ, src, v.Columns), src)
			t.Logf("%v, %s: NMSE %.6g, ggml %.6g (%.3f)", typ, part.name, got, part.limit, got/part.limit)
			if got > part.limit*(1+1e-9) {
				t.Errorf("%v, %s: NMSE %g, ggml's quantiser has %g", typ, part.name, got, part.limit)
			}
		}
	}
}

func roundTrip(t testing.TB, typ Type, src []float32, cols int) []float32 {
	t.Helper()
	data := make([]byte, len(src)/cols*typ.RowBytes(cols))
	if err := EncodeRows(typ, data, src, cols); err != nil {
		t.Fatal(err)
	}
	back := make([]float32, len(src))
	if err := DecodeRows(typ, back, data, cols); err != nil {
		t.Fatal(err)
	}
	return back
}

// nmse is the squared error relative to the squares of what is wanted.
func nmse(got, want []float32) float64 {
	var e, n float64
	for i := range got {
		d := float64(got[i]) - float64(want[i])
		e += d * d
		n += float64(want[i]) * float64(want[i])
	}
	return e / n
}
