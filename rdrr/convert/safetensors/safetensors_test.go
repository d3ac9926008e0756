package safetensors_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/rdrr/convert/safetensors"
	"shoal/rdrr/quant"
)

func write(t testing.TB, path string, tensors ...safetensors.Data) {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

var (
	one   = safetensors.Data{Name: "one", DType: safetensors.F32, Shape: []int{2, 1}, Bytes: []byte{0, 0, 128, 63, 0, 0, 0, 192}} // 1, -2
	two   = safetensors.Data{Name: "two", DType: safetensors.BF16, Shape: []int{3}, Bytes: []byte{128, 63, 0, 64, 64, 64}}        // 1, 2, 3
	three = safetensors.Data{Name: "three", DType: safetensors.I64, Shape: []int{}, Bytes: []byte{254, 255, 255, 255, 255, 255, 255, 255}}
)

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	write(t, path, one, two, three)
	for _, where := range []string{path, filepath.Dir(path)} { // a folder with this one file is as good
		c, err := safetensors.Open(where)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"one", "three", "two"}, c.Names()); d != "" {
			t.Error(d)
		}
		if c.Metadata()["format"] != "pt" {
			t.Errorf("metadata %v", c.Metadata())
		}
		for name, want := range map[string][]float32{"one": {1, -2}, "two": {1, 2, 3}} {
			got, err := c.Tensor(name).Floats()
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Error(name, d, err)
			}
		}
		if got, err := c.Tensor("three").Ints(); err != nil || len(got) != 1 || got[0] != -2 {
			t.Errorf("three is %v, %v", got, err)
		}
		if _, err := c.Tensor("three").Floats(); err == nil {
			t.Error("integers are taken for floats")
		}
		if b, err := c.Tensor("two").Range(2, 2); err != nil || !bytes.Equal(b, two.Bytes[2:4]) {
			t.Errorf("a range is %v, %v", b, err)
		}
		if _, err := c.Tensor("two").Range(4, 4); err == nil {
			t.Error("a range past the end is read")
		}
		if c.Tensor("four") != nil {
			t.Error("a tensor that is not there is found")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// raw makes a file of a header and data as they are.
func raw(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRefuse(t *testing.T) {
	const f32 = `{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty file", nil, "truncated: 0 bytes"},
		{"a few bytes", []byte("abc"), "truncated: 3 bytes"},
		{"absurd header", append(bytes.Repeat([]byte{255}, 8), "{}"...), "over the limit"},
		{"header past the end", raw(`{"a":`+f32+`}`, 0)[:20], "truncated: its header takes"},
		{"truncated data", raw(`{"a":`+f32+`}`, 7), "truncated: its tensors take 8 bytes, the file has 7"},
		{"no object", raw(`[]`, 0), "not a JSON object"},
		{"broken JSON", raw(`{"a":`, 0), "tensor"},
		{"two objects", raw(`{}{}`, 0), "goes on"},
		{"bytes after the last tensor", raw(`{"a":`+f32+`}`, 9), "1 bytes after the last tensor"},
		{"hole", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, 2), "belong to no tensor"},
		{"overlap", raw(`{"a":`+f32+`,"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, 8), "overlap"},
		{"twice", raw(`{"a":`+f32+`,"a":`+f32+`}`, 8), "twice"},
		{"unknown dtype", raw(`{"model.w":{"dtype":"F4_X","shape":[2],"data_offsets":[0,8]}}`, 8), `tensor "model.w": unknown dtype "F4_X"`},
		{"no dtype", raw(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "missing"},
		{"size", raw(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "F32 of shape [3] takes 12"},
		{"negative shape", raw(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "negative"},
		{"shape that overflows", raw(`{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "over"},
		{"many dimensions", raw(`{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}`, 1), "9 dimensions"},
		{"offsets backwards", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,1]}}`, 2), "no range"},
		{"offsets negative", raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}`, 2), "no range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.safetensors")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := safetensors.Open(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want an error with %q and the file's name", err, c.want)
			}
		})
	}
}

func TestIndex(t *testing.T) {
	for _, c := range []struct {
		name      string
		weightMap map[string]string
		want      string // "" if it opens
	}{
		{"sound", map[string]string{"one": "a.safetensors", "two": "b.safetensors"}, ""},
		{"tensor elsewhere", map[string]string{"one": "b.safetensors", "two": "a.safetensors"}, `tensor "one"`},
		{"tensor nowhere", map[string]string{"one": "a.safetensors", "two": "b.safetensors", "x": "b.safetensors"}, `tensor "x" is not in b.safetensors`},
		{"missing file", map[string]string{"one": "a.safetensors", "two": "c.safetensors"}, "c.safetensors"},
		{"file outside", map[string]string{"one": "../a.safetensors"}, "outside of the folder"},
		{"empty", map[string]string{}, "weight_map is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.safetensors"), one)
			write(t, filepath.Join(dir, "b.safetensors"), two)
			index, err := json.Marshal(map[string]any{"weight_map": c.weightMap})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, safetensors.IndexFile), index, 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := safetensors.Open(dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if d := cmp.Diff([]string{"one", "two"}, got.Names()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every half is what the reference conversion makes of it, bit for bit, NaN included.
func TestHalves(t *testing.T) {
	x := safetensors.Data{Name: "x", DType: safetensors.F16, Shape: []int{1 << 16}}
	for h := range 1 << 16 {
		x.Bytes = binary.LittleEndian.AppendUint16(x.Bytes, uint16(h))
	}
	path := filepath.Join(t.TempDir(), "x.safetensors")
	write(t, path, x)
	c, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Tensor("x").Floats()
	if err != nil {
		t.Fatal(err)
	}
	for h, v := range got {
		want := quant.F16ToF32(uint16(h))
		if v != want && (v == v || want == want) || math.Signbit(float64(v)) != math.Signbit(float64(want)) {
			t.Fatalf("half %#x is %v, want %v", h, v, want)
		}
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := safetensors.Open(dir); err == nil || !strings.Contains(err.Error(), "model.safetensors") {
		t.Errorf("an empty folder gives %v", err)
	}
	write(t, filepath.Join(dir, "a.safetensors"), one)
	write(t, filepath.Join(dir, "b.safetensors"), two)
	if _, err := safetensors.Open(dir); err == nil || !strings.Contains(err.Error(), safetensors.IndexFile) {
		t.Errorf("two files without an index give %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	short := one
	short.Bytes = one.Bytes[:4]
	for _, tensors := range [][]safetensors.Data{{one, one}, {short}, {{Name: "x", DType: "Z9"}}} {
		if err := safetensors.Write(&bytes.Buffer{}, tensors, nil); err == nil {
			t.Errorf("%v is written", tensors)
		}
	}
}

// A header that is accepted describes tensors that can be read to their last byte.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{}`), uint16(0))
	f.Add([]byte(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}}  `), uint16(8))
	f.Add([]byte(`{"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[4,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"c":{"dtype":"I8","shape":[3],"data_offsets":[1,4]}}`), uint16(8))
	f.Add([]byte(`{"a":{"dtype":"F8_E4M3","shape":[0,5],"data_offsets":[0,0]}}`), uint16(0))
	f.Add([]byte(`{"a":{"dtype":"F64","shape":[-1],"data_offsets":[0,99999999999999999]}}`), uint16(3))
	path := filepath.Join(f.TempDir(), "fuzz.safetensors")
	f.Fuzz(func(t *testing.T, header []byte, data uint16) {
		if err := os.WriteFile(path, raw(string(header), int(data)), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := safetensors.Open(path)
		if err != nil {
			return
		}
		defer c.Close()
		total := int64(0)
		for _, name := range c.Names() {
			b, err := c.Tensor(name).Bytes()
			if err != nil || int64(len(b)) != c.Tensor(name).Size() {
				t.Errorf("tensor %q: %d bytes of %d, %v", name, len(b), c.Tensor(name).Size(), err)
			}
			total += int64(len(b))
		}
		if total != int64(data) {
			t.Errorf("tensors have %d bytes, the data %d", total, data)
		}
	})
}
