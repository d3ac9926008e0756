package gguf

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"shoal/rdrr/quant"
)

// raw builds files that the writer would not. Its methods append in the container's encoding.
type raw struct{ b []byte }

func newRaw(tensors, entries uint64) *raw {
	return (&raw{[]byte("GGUF")}).u32(3).u64(tensors).u64(entries)
}

func (r *raw) u32(v uint32) *raw { r.b = binary.LittleEndian.AppendUint32(r.b, v); return r }
func (r *raw) u64(v uint64) *raw { r.b = binary.LittleEndian.AppendUint64(r.b, v); return r }
func (r *raw) str(s string) *raw { r.b = appendString(r.b, s); return r }
func (r *raw) zeros(n int) *raw  { r.b = append(r.b, make([]byte, n)...); return r }
func (r *raw) entry(key string, t uint32) *raw {
	return r.str(key).u32(t)
}

func (r *raw) tensor(name string, g GGMLType, offset uint64, dims ...uint64) *raw {
	r.str(name).u32(uint32(len(dims)))
	for _, d := range dims {
		r.u64(d)
	}
	return r.u32(uint32(g)).u64(offset)
}

// data pads to the data's beginning and appends n bytes of it.
func (r *raw) data(n int) *raw { return r.zeros((32 - len(r.b)%32) % 32).zeros(n) }

var refused = []struct {
	name string
	file *raw
	want string // part of the error
}{
	{"empty", &raw{}, "too few"},
	{"short", &raw{[]byte("GGUF\x03\x00\x00\x00")}, "too few"},
	{"other magic", (&raw{[]byte("GGML")}).u32(3).u64(0).u64(0), "begins with"},
	{"version 1", (&raw{[]byte("GGUF")}).u32(1).u64(0).u64(0), "version 1"},
	{"version 4", (&raw{[]byte("GGUF")}).u32(4).u64(0).u64(0), "version 4"},
	{"big-endian", (&raw{[]byte("GGUF")}).u32(3 << 24).u64(0).u64(0), "big-endian"},
	{"many entries", newRaw(0, 1<<60), "do not fit"},
	{"many tensors", newRaw(1<<60, 0), "do not fit"},
	{"missing entry", newRaw(0, 1).zeros(7), "do not fit"},
	{"long key", newRaw(0, 1).u64(1 << 62).zeros(30), "truncated"},
	{"empty key", newRaw(0, 1).entry("", 0).zeros(20), "empty key"},
	{"same key", newRaw(0, 2).entry("k", 4).u32(1).entry("k", 4).u32(1), "second key"},
	{"unknown type", newRaw(0, 1).entry("k", 13).zeros(20), "unknown value type 13"},
	{"long string", newRaw(0, 1).entry("k", 8).u64(1 << 40).zeros(9), "truncated"},
	{"cut value", newRaw(0, 1).entry("key", 10).zeros(6), "truncated"},
	{"odd bool", newRaw(0, 1).entry("k", 7).u32(2), "bool of 2"},
	{"odd bool element", newRaw(0, 1).entry("k", 9).u32(7).u64(1).u32(3), "bool of 3"},
	{"long array", newRaw(0, 1).entry("k", 9).u32(4).u64(1 << 61).zeros(64), "does not fit"},
	{"long string array", newRaw(0, 1).entry("k", 9).u32(8).u64(9).zeros(64), "does not fit"},
	{"cut string array", newRaw(0, 1).entry("k", 9).u32(8).u64(2).u64(1).zeros(8), "element 1"},
	{"nested array", newRaw(0, 1).entry("k", 9).u32(9).u64(1).u32(4).u64(0), "arrays of arrays"},
	{"unknown elements", newRaw(0, 1).entry("k", 9).u32(77).u64(1).zeros(9), "unknown element type 77"},
	{"alignment of zero", newRaw(0, 1).entry(alignmentKey, 4).u32(0), "power of two"},
	{"alignment of 24", newRaw(0, 1).entry(alignmentKey, 4).u32(24), "power of two"},
	{"alignment as text", newRaw(0, 1).entry(alignmentKey, 8).str("32"), "want an integer"},
	{"nameless tensor", newRaw(1, 0).tensor("", 0, 0, 1).data(4), "name is empty"},
	{"same tensor", newRaw(2, 0).tensor("t", 0, 0, 1).tensor("t", 0, 32, 1).data(64), "second tensor"},
	{"five dimensions", newRaw(1, 0).tensor("t", 0, 0, 1, 1, 1, 1, 1).data(4), "5 dimensions"},
	{"dimension of zero", newRaw(1, 0).tensor("t", 0, 0, 4, 0).data(4), "dimension 1 is 0"},
	{"huge dimension", newRaw(1, 0).tensor("t", 0, 0, 1<<63).data(4), "dimension 0"},
	{"huge shape", newRaw(1, 0).tensor("t", 0, 0, 1<<31, 1<<31, 1<<31).data(4), "too large"},
	{"uneven rows", newRaw(1, 0).tensor("t", 12, 0, 128, 2).data(144), "blocks of 256"},
	{"unaligned", newRaw(1, 0).tensor("t", 0, 8, 1).data(64), "alignment"},
	{"huge offset", newRaw(1, 0).tensor("t", 0, 1<<63, 1).data(64), "past the file's end"},
	{"huge aligned offset", newRaw(1, 0).tensor("t", 0, 1<<63-32, 1).data(64), "past the file's end"},
	{"truncated data", newRaw(1, 0).tensor("t", 0, 0, 9).data(35), "truncated"},
	{"no data", newRaw(1, 0).tensor("t", 0, 0, 9), "truncated"},
	{"overlap", newRaw(2, 0).tensor("a", 0, 0, 16).tensor("b", 0, 32, 1).data(96), `"a" and "b" overlap`},
	{"cut directory", newRaw(2, 0).tensor("a", 0, 0, 1).str("bbbbbb").zeros(6), "truncated"},
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range refused {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := open(c.file.b)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", c.name, n, len(c.file.b))
		}
	}
}

// Whatever end of a file is missing, the rest is refused, and no error claims anything else than damage.
func TestEveryTruncationIsRefused(t *testing.T) {
	file := build(t, everyKind(), someTensors)
	f, err := open(file)
	if err != nil {
		t.Fatal(err)
	}
	last := f.Tensors[len(f.Tensors)-1]
	for n := range int(last.Offset + last.Size) {
		if _, err := open(file[:n]); err == nil {
			t.Fatalf("the first %d bytes of %d passed", n, len(file))
		}
	}
}

func TestUnsupportedFormatIsListed(t *testing.T) {
	file := newRaw(2, 0).tensor("old", 23, 0, 256).tensor("new", 0, 160, 2).data(168)
	f, err := open(file.b)
	if err != nil {
		t.Fatal(err)
	}
	old, ok := f.Tensor("old")
	if !ok || old.Type != quant.Invalid || old.GGML.String() != "IQ4_XS" {
		t.Fatalf("%+v", old)
	}
	if _, err := f.Data(old); err == nil || !strings.Contains(err.Error(), "IQ4_XS") || !strings.Contains(err.Error(), `"old"`) {
		t.Errorf("data of a format that is not supported: %v", err)
	}
	if s := GGMLType(99).String(); s != "ggml type 99" {
		t.Error(s)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(build(f, everyKind(), someTensors))
	for _, c := range refused {
		f.Add(c.file.b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := open(b)
		if err != nil {
			return
		}
		for _, key := range file.Metadata.Keys() {
			_, _ = file.Metadata.Int(key)
			_, _ = file.Metadata.Ints(key)
			_, _ = file.Metadata.Floats(key)
		}
		var again bytes.Buffer
		w, err := NewWriter(&again, file.Metadata, file.Tensors)
		if err != nil {
			return // the reader is more lenient: formats that are only listed, long names
		}
		for _, info := range file.Tensors {
			r, err := file.Data(info)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Tensor(info.Name, r); err != nil {
				t.Fatal(err)
			}
		}
		second, err := open(again.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(second.Tensors) != len(file.Tensors) || len(second.Metadata.Keys()) != len(file.Metadata.Keys()) {
			t.Fatal("the file written anew lists other things")
		}
	})
}
