package setup

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// files reads from a map as a model reads from its folder.
func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if data, ok := m[name]; ok {
			return []byte(data), nil
		}
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
}

func TestTokenizerOfRanks(t *testing.T) {
	var ranks strings.Builder
	for b := range 256 {
		fmt.Fprintf(&ranks, "%s %d\n", base64.StdEncoding.EncodeToString([]byte{byte(b)}), b)
	}
	fmt.Fprintf(&ranks, "%s %d\n", base64.StdEncoding.EncodeToString([]byte("hi")), 256)
	tok, err := ReadTokenizer(files(map[string]string{
		"tiktoken.model":        ranks.String(),
		"tokenizer_config.json": `{"added_tokens_decoder": {"258": {"content": "[EOS]"}}}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := tok.Encode("hi[EOS]<|reserved_token_257|>h", false)
	if want := []int{256, 258, 257, 'h'}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

func TestTokenizerMissingOrBroken(t *testing.T) {
	if _, err := ReadTokenizer(files(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no files: %v, want one that wraps %v", err, fs.ErrNotExist)
	}
	_, err := ReadTokenizer(files(map[string]string{"tokenizer.json": "{", "tiktoken.model": ""}))
	if err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("a broken tokenizer.json: %v, want an error that names it", err)
	}
}
