package shaders

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// Every file is part of a variant, every variant expands, and every expansion is a whole kernel.
func TestVariants(t *testing.T) {
	unused := map[string]bool{}
	names, err := fs.Glob(files, "*.wgsl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		unused[strings.TrimSuffix(name, ".wgsl")] = true
	}
	seen := map[Variant]bool{}
	for _, v := range Variants() {
		if seen[v] {
			t.Errorf("%s is listed twice", v)
		}
		seen[v] = true
		source, err := v.Source()
		if err != nil {
			t.Error(err)
			continue
		}
		used := map[string]bool{}
		if _, err := v.expand(v.Op, used); err != nil {
			t.Error(err)
		}
		for name := range used {
			delete(unused, name)
		}
		checkSource(t, v.String(), source)
	}
	for name := range unused {
		t.Errorf("%s.wgsl is part of no variant", name)
	}
}

var identifier = regexp.MustCompile(`\b(p\.\w+)`)

func checkSource(t *testing.T, name, source string) {
	t.Helper()
	if strings.Contains(source, "#import") {
		t.Errorf("%s: an import is left", name)
	}
	if n := strings.Count(source, "fn main("); n != 1 {
		t.Errorf("%s: %d entry points, want main alone", name, n)
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(source, pair[:1]) != strings.Count(source, pair[1:]) {
			t.Errorf("%s: unbalanced %s", name, pair)
		}
	}
	list := Bindings(source)
	if len(list) != strings.Count(source, "@binding(") {
		t.Errorf("%s: %d bindings read of %d", name, len(list), strings.Count(source, "@binding("))
	}
	for i, b := range list {
		if i > 0 && b.Number == list[i-1].Number {
			t.Errorf("%s: binding %d twice", name, b.Number)
		}
		if (b.Kind == Uniform) != (b.Number == 7) {
			t.Errorf("%s: binding %d %s: want uniform parameters at 7 alone", name, b.Number, b.Name)
		}
	}
	// Storage buffers beyond 8 a shader are not granted everywhere.
	if len(list) > 9 {
		t.Errorf("%s: %d bindings", name, len(list))
	}
	for _, use := range identifier.FindAllString(source, -1) {
		member := strings.TrimPrefix(use, "p.")
		if !regexp.MustCompile(`(?m)^  ` + member + `: [uf]32,`).MatchString(source) {
			t.Errorf("%s: %s is no member of Params", name, use)
		}
	}
	if threads, ok := Constant(source, "THREADS"); !ok || threads > 256 || threads&(threads-1) != 0 {
		t.Errorf("%s: THREADS %d, want a power of two up to 256", name, threads)
	}
}

func TestSourceErrors(t *testing.T) {
	for _, v := range []Variant{
		{Op: "nothing"},
		{Op: "embed", Format: "Q3_K"},
		{Op: "add", Lanes: 4},
		{Op: "matmul", Format: "F32"}, // no access
	} {
		if _, err := v.Source(); err == nil {
			t.Errorf("%+v: no error", v)
		}
	}
}

// The tile of one row and that of many must share LANES, or a row's bits would depend on its batch.
func TestProductTile(t *testing.T) {
	for _, access := range []Access{Scalar, Vec4} {
		for units := 1; units < 200; units++ {
			alone := ProductTile(access, units, 1)
			for n := 2; n < 20; n++ {
				if got := ProductTile(access, units, n); got.Lanes != alone.Lanes || got.Access != alone.Access {
					t.Fatalf("%d units: %+v for %d rows, %+v for one", units, got, n, alone)
				}
			}
		}
	}
}
