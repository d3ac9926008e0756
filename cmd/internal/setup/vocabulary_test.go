package setup

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/convert/gguf"
)

// TestTokenizerInGGUF writes published kinds of tokenizers into GGUF files, as llama.cpp reads them, and wants the reference's
// ids from them.
func TestTokenizerInGGUF(t *testing.T) {
	for _, family := range []string{"llama3", "qwen3", "gpt-oss", "mistral", "gemma3"} {
		t.Run(family, func(t *testing.T) {
			path := writeGGUF(t, map[string][]byte{"tokenizer.json": unzip(t, family+".json.gz")})
			whole, err := GGUFTokenizer(path)
			if err != nil {
				t.Fatal(err)
			}
			vocabulary, err := GGUFTokenizer(without(t, path, "tokenizer.huggingface.json"))
			if err != nil {
				t.Fatal(err)
			}
			var vectors []struct {
				Text string
				IDs  []int
			}
			if err := json.Unmarshal(unzip(t, family+".vectors.json.gz"), &vectors); err != nil || len(vectors) == 0 {
				t.Fatalf("%d vectors, %v", len(vectors), err)
			}
			for _, v := range vectors {
				if got := whole.Encode(v.Text, false); !slices.Equal(got, v.IDs) {
					t.Fatalf("whole tokenizer: %q: %v, want %v", v.Text, got, v.IDs)
				}
				if got := vocabulary.Encode(v.Text, false); !slices.Equal(got, v.IDs) {
					t.Errorf("vocabulary: %q: %v, want %v", v.Text, got, v.IDs)
				}
			}
		})
	}
}

func unzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../tokenizer/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// withFiles is a checkpoint with other files beside its weights.
type withFiles struct {
	convert.Source
	files map[string][]byte
}

func (w withFiles) Files() (map[string][]byte, error) { return w.files, nil }

// writeGGUF makes a file of a small model and the given tokenizer files.
func writeGGUF(t *testing.T, files map[string][]byte) (path string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	source, err := convert.OpenHub("../../../testdata/fixtures-small/qwen3", nil)
	must(err)
	defer source.Close()
	spec, err := model.Parse(source.Config())
	must(err)
	dir := filepath.Join(t.TempDir(), "artifact")
	_, err = convert.Run(context.Background(), convert.Options{
		Source: withFiles{source, files}, Output: dir, Quantize: "none", ModelID: "test", Tensors: spec.Tensors(),
	})
	must(err)
	m, err := rdrr.OpenDir(dir)
	must(err)
	defer m.Close()
	described, err := spec.GGUF()
	must(err)
	path = filepath.Join(t.TempDir(), "model.gguf")
	_, err = convert.ExportGGUF(context.Background(), convert.GGUFOptions{
		Model: m, Output: path, Tensors: spec.Tensors(), Architecture: described.Architecture, Keys: described.Keys,
	})
	must(err)
	return path
}

// without copies the metadata of a file, but for one key, to a file without tensors.
func without(t *testing.T, path, key string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var meta gguf.Metadata
	for _, k := range f.Metadata.Keys() {
		if v, _ := f.Metadata.Value(k); k != key {
			if err := meta.Set(k, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	if _, err := gguf.NewWriter(&out, &meta, nil); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "vocabulary.gguf")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
