package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed is the table of docs/architecture.md: what each package may import of the project. A key covers the packages
// below it that have no key of their own; "all" is everything.
var allowed = map[string][]string{
	"cmd":                      {"all"},
	"tools":                    {"all"},
	"internal":                 {},
	"api":                      {"router", "p2p", "tokenizer", "experts", "rdrr"},
	"router":                   {"model", "experts", "rdrr", "router/plan"},
	"router/plan":              {"experts"},
	"p2p":                      {"experts", "rdrr", "proto/shoalpb", "p2p/link"},
	"p2p/link":                 {},
	"experts":                  {"rdrr"},
	"experts/host":             {"experts", "gpu", "rdrr", "rdrr/quant"},
	"experts/runnertest":       {"experts", "rdrr", "shaders/ref"},
	"model":                    {"gpu", "rdrr", "rdrr/quant"},
	"tokenizer":                {},
	"tokenizer/chat":           {"tokenizer/chat"},
	"gpu":                      {"rdrr/quant"},
	"gpu/cpu":                  {"gpu", "shaders/ref", "rdrr/quant"},
	"gpu/webgpu":               {"gpu", "shaders", "rdrr/quant"},
	"gpu/gputest":              {"gpu", "shaders/ref", "rdrr/quant"},
	"shaders":                  {},
	"rdrr":                     {"rdrr/quant"},
	"rdrr/quant":               {},
	"rdrr/convert":             {"rdrr", "rdrr/quant", "rdrr/convert"},
	"rdrr/synth":               {"rdrr", "rdrr/quant", "rdrr/convert"},
	"rdrr/convert/safetensors": {},
	"rdrr/convert/gguf":        {"rdrr/quant"},
	"proto":                    {"proto/shoalpb"},
}

func TestImportsFollowTheDesign(t *testing.T) {
	root := repositoryRoot(t)
	checked := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && file != root || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		relative, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(relative)
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			imported, ours := strings.CutPrefix(imported, "shoal/")
			if !ours {
				continue
			}
			checked++
			if !mayImport(pkg, imported) {
				t.Errorf("%s: package %s may not import %s", filepath.Base(file), pkg, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Fatal("no import of the project was found: the walk is broken")
	}
}

// mayImport looks the importer up by its longest key in the table.
func mayImport(importer, imported string) bool {
	for key := importer; key != "."; key = path.Dir(key) {
		may, ok := allowed[key]
		if !ok {
			continue
		}
		return slices.Contains(may, "all") || slices.ContainsFunc(may, func(m string) bool {
			// An entry that ends a table row covers its subpackages only where it names the importer's own family.
			return imported == m || (strings.HasPrefix(imported, m+"/") && strings.HasPrefix(importer, m))
		})
	}
	return false
}

func TestMayImport(t *testing.T) {
	for _, c := range []struct {
		importer, imported string
		want               bool
	}{
		{"router", "model", true},
		{"router", "p2p", false},
		{"router", "gpu", false},
		{"router", "router/plan", true},
		{"router/plan", "router", false},
		{"router/plan", "model", false},
		{"p2p", "model", false},
		{"p2p", "gpu", false},
		{"gpu", "model", false},
		{"gpu/cpu", "shaders/ref", true},
		{"experts", "gpu", false},
		{"experts/host", "gpu", true},
		{"experts/host", "gpu/webgpu", false},
		{"rdrr/convert", "rdrr/convert/safetensors", true},
		{"cmd/p2p", "gpu/webgpu", true},
		{"unheardof", "rdrr", false},
	} {
		if got := mayImport(c.importer, c.imported); got != c.want {
			t.Errorf("mayImport(%s, %s) = %v, want %v", c.importer, c.imported, got, c.want)
		}
	}
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		t.Fatal("no go.mod above the test")
	}
}
