package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"shoal/rdrr/quant"
)

func everyKind() *Metadata {
	m := &Metadata{}
	for key, v := range map[string]any{
		"u8": uint8(200), "i8": int8(-3), "u16": uint16(60000), "i16": int16(-300), "u32": uint32(1 << 31), "i32": int32(-1 << 31),
		"u64": uint64(1 << 63), "i64": int64(-1 << 62), "f32": float32(1.5), "f64": 0.1, "yes": true, "no": false, "text": "größe",
		"u8s": []uint8{0, 255}, "i8s": []int8{-128, 127}, "u16s": []uint16{1}, "i16s": []int16{-1}, "u32s": []uint32{math.MaxUint32},
		"i32s": []int32{1, -2, 3}, "u64s": []uint64{math.MaxUint64}, "i64s": []int64{-5}, "f32s": []float32{0.5, -2},
		"f64s": []float64{0.25}, "bools": []bool{true, false}, "texts": []string{"", "a", "\xff"}, "none": []string{}, "nothing": []int32{},
	} {
		if err := m.Set(key, v); err != nil {
			panic(err)
		}
	}
	return m
}

// build writes a file whose tensor i is filled with bytes i+1.
func build(t testing.TB, m *Metadata, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, m, tensors)
	if err != nil {
		t.Fatal(err)
	}
	for i, info := range tensors {
		n, err := storedSize(info.Type, info.Shape)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Tensor(info.Name, bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, int(n)))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != w.Size() {
		t.Fatalf("%d bytes written, Size says %d", b.Len(), w.Size())
	}
	return b.Bytes()
}

var someTensors = []Tensor{
	{Name: "token_embd.weight", Type: quant.Q6_K, Shape: []int{3, 256}},
	{Name: "blk.0.ffn_up_exps.weight", Type: quant.MXFP4, Shape: []int{4, 5, 64}},
	{Name: "output_norm.weight", Type: quant.F32, Shape: []int{7}},
	{Name: "half", Type: quant.F16, Shape: []int{1, 2, 3, 1}},
	{Name: "scalar", Type: quant.F32, Shape: []int{}},
	{Name: "q8", Type: quant.Q8_0, Shape: []int{1, 32}},
}

func open(b []byte) (*File, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestReadsWhatItWrites(t *testing.T) {
	for _, alignment := range []int{0, 1, 8, 32, 4096} {
		m := everyKind()
		if alignment > 0 {
			if err := m.Set(alignmentKey, uint32(alignment)); err != nil {
				t.Fatal(err)
			}
		}
		f, err := open(build(t, m, someTensors))
		if err != nil {
			t.Fatal(err)
		}
		if f.Version != 3 {
			t.Errorf("version %d", f.Version)
		}
		if diff := cmp.Diff(m.Keys(), f.Metadata.Keys()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(m.values, f.Metadata.values); diff != "" {
			t.Error(diff)
		}
		for i, want := range someTensors {
			got, ok := f.Tensor(want.Name)
			if !ok || got.Type != want.Type || !reflect.DeepEqual(got.Shape, want.Shape) {
				t.Fatalf("tensor %q: %+v", want.Name, got)
			}
			if alignment > 0 && got.Offset%int64(alignment) != 0 {
				t.Errorf("tensor %q is at %d", want.Name, got.Offset)
			}
			r, err := f.Data(got)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil || int64(len(data)) != got.Size || len(bytes.Trim(data, string(rune(i+1)))) != 0 {
				t.Errorf("tensor %q: %d bytes %v, %v", want.Name, len(data), data[:1], err)
			}
		}
		if _, ok := f.Tensor("absent"); ok {
			t.Error("found an absent tensor")
		}
	}
}

// A file spelled out byte by byte as the specification lays it out, so that reader and writer cannot share a mistake.
func TestBytesOfASmallFile(t *testing.T) {
	want := "GGUF" + "\x03\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00\x00\x00\x00\x00a" + "\x08\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00hi" +
		"\x01\x00\x00\x00\x00\x00\x00\x00b" + "\x09\x00\x00\x00" + "\x05\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" + "\xfe\xff\xff\xff" +
		"\x01\x00\x00\x00\x00\x00\x00\x00t" + "\x02\x00\x00\x00" + "\x02\x00\x00\x00\x00\x00\x00\x00" + "\x01\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"
	want += strings.Repeat("\x00", (32-len(want)%32)%32) + "\x01\x01\x01\x01" + strings.Repeat("\x00", 28)
	m := &Metadata{}
	if err := errors.Join(m.Set("a", "hi"), m.Set("b", []int32{-2})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]byte(want), build(t, m, []Tensor{{Name: "t", Type: quant.F16, Shape: []int{1, 2}}})); diff != "" {
		t.Fatal(diff)
	}
	// Version 2 is the same, and the padding after the last tensor may be missing.
	old := []byte(want[:len(want)-28])
	old[4] = 2
	f, err := open(old)
	if err != nil || f.Version != 2 {
		t.Fatal(f, err)
	}
	if b, err := f.Metadata.Ints("b"); err != nil || !reflect.DeepEqual(b, []int{-2}) {
		t.Fatal(b, err)
	}
}

func TestGetters(t *testing.T) {
	m := everyKind()
	for key, want := range map[string]int{"u8": 200, "i8": -3, "u16": 60000, "i16": -300, "u32": 1 << 31, "i32": -1 << 31, "i64": -1 << 62} {
		if got, err := m.Int(key); err != nil || got != want {
			t.Errorf("%s: %d, %v", key, got, err)
		}
	}
	for key, want := range map[string]float64{"f32": 1.5, "f64": 0.1, "i8": -3} {
		if got, err := m.Float(key); err != nil || got != want {
			t.Errorf("%s: %g, %v", key, got, err)
		}
	}
	for key, want := range map[string][]int{
		"u8s": {0, 255}, "i8s": {-128, 127}, "u16s": {1}, "i16s": {-1}, "u32s": {math.MaxUint32}, "i32s": {1, -2, 3}, "i64s": {-5}, "nothing": {},
	} {
		if got, err := m.Ints(key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", key, got, err)
		}
	}
	for key, want := range map[string][]float32{"f32s": {0.5, -2}, "f64s": {0.25}} {
		if got, err := m.Floats(key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", key, got, err)
		}
	}
	if s, err := m.String("text"); err != nil || s != "größe" {
		t.Error(s, err)
	}
	if b, err := m.Bool("yes"); err != nil || !b {
		t.Error(b, err)
	}
	if b, err := m.Bools("bools"); err != nil || len(b) != 2 || !b[0] {
		t.Error(b, err)
	}
	if s, err := m.Strings("texts"); err != nil || len(s) != 3 || s[2] != "\xff" {
		t.Error(s, err)
	}
}

func TestGettersRefuse(t *testing.T) {
	m := everyKind()
	all := map[string]func(string) error{
		"Int":     func(k string) error { _, err := m.Int(k); return err },
		"Float":   func(k string) error { _, err := m.Float(k); return err },
		"Ints":    func(k string) error { _, err := m.Ints(k); return err },
		"Floats":  func(k string) error { _, err := m.Floats(k); return err },
		"String":  func(k string) error { _, err := m.String(k); return err },
		"Strings": func(k string) error { _, err := m.Strings(k); return err },
		"Bool":    func(k string) error { _, err := m.Bool(k); return err },
		"Bools":   func(k string) error { _, err := m.Bools(k); return err },
	}
	wrong := map[string]string{
		"Int": "text f32 i32s yes u64", "Float": "text yes f32s u64", "Ints": "u64s f32s i32 texts", "Floats": "f32 i32s texts",
		"String": "i32 texts yes", "Strings": "text i32s", "Bool": "i32 text bools", "Bools": "yes i32s",
	}
	for name, f := range all {
		if err := f("absent"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), `"absent"`) {
			t.Errorf("%s of an absent key: %v", name, err)
		}
		for key := range strings.FieldsSeq(wrong[name]) {
			if err := f(key); err == nil || errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), `"`+key+`"`) {
				t.Errorf("%s of %s: %v", name, key, err)
			}
		}
	}
	for _, v := range []any{nil, 1, []int{1}, []any{}, [][]string{}, struct{}{}} {
		if m.Set("x", v) == nil {
			t.Errorf("a %T was accepted", v)
		}
	}
	if m.Set("", "x") == nil {
		t.Error("an empty key was accepted")
	}
}

func TestWriterRefuses(t *testing.T) {
	one := []Tensor{{Name: "a", Type: quant.F32, Shape: []int{2}}}
	uneven := &Metadata{}
	if err := uneven.Set(alignmentKey, uint32(24)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m       *Metadata
		tensors []Tensor
		want    string
	}{
		"twice":         {&Metadata{}, []Tensor{one[0], one[0]}, "second"},
		"long name":     {&Metadata{}, []Tensor{{Name: strings.Repeat("a", 64), Type: quant.F32, Shape: []int{1}}}, "names"},
		"no name":       {&Metadata{}, []Tensor{{Type: quant.F32, Shape: []int{1}}}, "names"},
		"FP8":           {&Metadata{}, []Tensor{{Name: "a", Type: quant.F8E4M3, Shape: []int{128}}}, "F8_E4M3"},
		"no type":       {&Metadata{}, []Tensor{{Name: "a", Shape: []int{128}}}, "no format"},
		"uneven row":    {&Metadata{}, []Tensor{{Name: "a", Type: quant.Q4_K, Shape: []int{2, 960}}}, "blocks of 256"},
		"five dims":     {&Metadata{}, []Tensor{{Name: "a", Type: quant.F32, Shape: []int{1, 1, 1, 1, 1}}}, "dimensions"},
		"zero dim":      {&Metadata{}, []Tensor{{Name: "a", Type: quant.F32, Shape: []int{0}}}, "dimension"},
		"too large":     {&Metadata{}, []Tensor{{Name: "a", Type: quant.F32, Shape: []int{math.MaxInt}}}, "large"},
		"bad alignment": {uneven, one, "power of two"},
	} {
		if _, err := NewWriter(io.Discard, c.m, c.tensors); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	start := func() *Writer {
		w, err := NewWriter(io.Discard, &Metadata{}, one)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, use := range map[string]func(*Writer){
		"nothing":    func(*Writer) {},
		"short":      func(w *Writer) { _ = w.Tensor("a", strings.NewReader("1234567")) },
		"long":       func(w *Writer) { _ = w.Tensor("a", strings.NewReader("123456789")) },
		"other name": func(w *Writer) { _ = w.Tensor("b", strings.NewReader("12345678")) },
		"one more": func(w *Writer) {
			_ = w.Tensor("a", strings.NewReader("12345678"))
			_ = w.Tensor("a", strings.NewReader("12345678"))
		},
	} {
		w := start()
		use(w)
		if err := w.Close(); err == nil {
			t.Errorf("%s: the file passed as complete", name)
		}
	}
}

func TestRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Metadata{}
		for _, key := range rapid.SliceOfN(rapid.StringN(1, 20, -1), 0, 10).Draw(t, "keys") {
			v := rapid.OneOf(rapid.String().AsAny(), rapid.SliceOf(rapid.String()).AsAny(), rapid.Int32().AsAny(), rapid.SliceOf(rapid.Uint16()).AsAny(),
				rapid.Bool().AsAny(), rapid.SliceOf(rapid.Float32()).AsAny()).Draw(t, "value")
			if err := m.Set(key, v); err != nil {
				t.Fatal(err)
			}
		}
		var tensors []Tensor
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z.]{1,20}`), 0, 6, rapid.ID).Draw(t, "names") {
			typ := rapid.SampledFrom([]quant.Type{quant.F32, quant.BF16, quant.Q4_0, quant.Q5_K}).Draw(t, "type")
			shape := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 4).Draw(t, "shape")
			shape[len(shape)-1] *= typ.BlockSize()
			tensors = append(tensors, Tensor{Name: name, Type: typ, Shape: shape})
		}
		var b bytes.Buffer
		w, err := NewWriter(&b, m, tensors)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range w.tensors {
			if err := w.Tensor(info.Name, bytes.NewReader(make([]byte, info.Size))); err != nil {
				t.Fatal(err)
			}
		}
		f, err := open(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m.values, f.Metadata.values); diff != "" {
			t.Fatal(diff)
		}
		if len(f.Tensors) != len(tensors) {
			t.Fatalf("%d tensors of %d", len(f.Tensors), len(tensors))
		}
	})
}

// repository finds the folder of go.mod above the tests.
func repository(t testing.TB) string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Fatal("no go.mod above the tests")
	return ""
}

func TestFilesOfOthers(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"gguf/*.gguf", "vocab/*.gguf"} {
		found, err := filepath.Glob(filepath.Join(repository(t), "..", "shared", pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		t.Skip("no GGUF files beside the repository")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := open(b)
			if err != nil {
				t.Fatal(err)
			}
			arch, err := f.Metadata.String("general.architecture")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := f.Metadata.Int(arch + ".block_count"); err != nil || n < 1 {
				t.Errorf("%d layers, %v", n, err)
			}
			tokens, err := f.Metadata.Strings("tokenizer.ggml.tokens")
			if err != nil || len(tokens) < 256 {
				t.Errorf("%d tokens, %v", len(tokens), err)
			}
			checkTensors(t, f)
			rewritten(t, f, b)
		})
	}
}

// checkTensors decodes every tensor and expects finite weights of a sensible size.
func checkTensors(t *testing.T, f *File) {
	for _, info := range f.Tensors {
		r, err := f.Data(info)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		cols := info.Shape[len(info.Shape)-1]
		weights := make([]float32, len(data)/info.Type.RowBytes(cols)*cols)
		if err := quant.DecodeRows(info.Type, weights, data, cols); err != nil {
			t.Fatal(err)
		}
		for i, v := range weights {
			if !(v > -100 && v < 100) {
				t.Fatalf("tensor %q: weight %d is %g", info.Name, i, v)
			}
		}
	}
}

// rewritten writes the file anew. Its tensors lie in order without gaps, so all bytes must be the same again.
func rewritten(t *testing.T, f *File, want []byte) {
	var b bytes.Buffer
	w, err := NewWriter(&b, f.Metadata, f.Tensors)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range f.Tensors {
		r, err := f.Data(info)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Tensor(info.Name, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := b.Bytes()
	// A file without tensors may end at its last entry, without the padding that would lead to their data.
	if f.Version != 3 || !bytes.HasPrefix(got, want) || len(bytes.Trim(got[len(want):], "\x00")) != 0 {
		t.Errorf("%d bytes written anew differ from the %d read", len(got), len(want))
	}
}

func BenchmarkOpen(b *testing.B) {
	m := &Metadata{}
	tokens := make([]string, 150_000)
	for i := range tokens {
		tokens[i] = "token" + string(binary.LittleEndian.AppendUint32(nil, uint32(i)))
	}
	if err := m.Set("tokenizer.ggml.tokens", tokens); err != nil {
		b.Fatal(err)
	}
	file := build(b, m, someTensors)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if _, err := open(file); err != nil {
			b.Fatal(err)
		}
	}
}
