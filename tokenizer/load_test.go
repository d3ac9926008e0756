package tokenizer

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vector is one text with what the Hugging Face tokenizers library (0.23) makes of it.
type vector struct {
	Text           string `json:"text"`
	IDs            []int  `json:"ids"`
	WithSpecial    []int  `json:"ids_with_special"`
	Decoded        string `json:"decoded"`
	DecodedSkipped string `json:"decoded_skip_special"`
}

var families = []string{"qwen3", "llama3", "gpt-oss", "gemma3", "mistral"}

// TestVectors compares the five published families with the reference: ids, text, and the text of a streaming decoder.
func TestVectors(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			tok := loadFamily(t, name)
			var vectors []vector
			if err := json.Unmarshal(testFile(t, name+".vectors.json.gz"), &vectors); err != nil {
				t.Fatal(err)
			}
			checkVectors(t, tok, vectors)
		})
	}
}

// TestSharedVectors does the same with the larger sets that may lie beside the repository.
func TestSharedVectors(t *testing.T) {
	dirs, _ := filepath.Glob(filepath.Join(shared(t), "tokenizers", "*"))
	if len(dirs) == 0 {
		t.Skip("no shared tokenizers")
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			tok, err := Load(data)
			if err != nil {
				t.Fatal(err)
			}
			var vectors []vector
			data, err = os.ReadFile(filepath.Join(dir, "vectors.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &vectors); err != nil {
				t.Fatal(err)
			}
			checkVectors(t, tok, vectors)
		})
	}
}

func checkVectors(t *testing.T, tok *Tokenizer, vectors []vector) {
	t.Helper()
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		if got := tok.Encode(v.Text, false); !slices.Equal(got, v.IDs) {
			t.Errorf("%q: ids %v, want %v", v.Text, got, v.IDs)
		}
		got := tok.Encode(v.Text, true)
		if !slices.Equal(got, v.WithSpecial) {
			t.Errorf("%q: ids with special tokens %v, want %v", v.Text, got, v.WithSpecial)
		}
		for _, d := range []struct {
			skip bool
			want string
		}{{false, v.Decoded}, {true, v.DecodedSkipped}} {
			if text := tok.Decode(v.IDs, d.skip); text != d.want {
				t.Errorf("%q: decoded (skip %v) %q, want %q", v.Text, d.skip, text, d.want)
			}
		}
	}
}

func loadFamily(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load(testFile(t, name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// testFile reads a gzipped file of testdata.
func testFile(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// shared returns the folder of larger test data beside the repository, which need not exist.
func shared(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(filepath.Dir(dir), "shared")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above " + strings.TrimSpace(dir))
		}
		dir = parent
	}
}
