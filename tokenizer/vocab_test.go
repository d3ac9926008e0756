package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"shoal/rdrr/convert/gguf"
)

// TestPublishedVocabs compares vocabularies of published models with llama.cpp's own vectors, where they lie beside the repository.
func TestPublishedVocabs(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t), "vocab", "*.gguf"))
	if len(files) == 0 {
		t.Skip("no shared vocabularies")
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			tok := openVocab(t, path)
			in, err := os.ReadFile(path + ".inp")
			if err != nil {
				t.Fatal(err)
			}
			out, err := os.ReadFile(path + ".out")
			if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(string(in), "\n__ggml_vocab_test__\n")
			lines := strings.Split(string(out), "\n")
			if len(texts) < 40 || len(lines) < len(texts) {
				t.Fatalf("%d texts, %d lines of ids", len(texts), len(lines))
			}
			for i, text := range texts {
				var want []int
				for _, f := range strings.Fields(lines[i]) {
					id, err := strconv.Atoi(f)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, id)
				}
				if got := tok.EncodePlain(text, false); !slices.Equal(got, want) {
					t.Errorf("%q: ids %v, want %v", text, got, want)
				}
				if got := tok.Decode(want, false); got != text {
					t.Errorf("%q: decoded %q", text, got)
				}
			}
		})
	}
}

func openVocab(t *testing.T, path string) *Tokenizer {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	g, err := gguf.Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	m := g.Metadata
	v := Vocab{BOS: -1, EOS: -1, Unknown: -1}
	v.Kind, _ = m.String("tokenizer.ggml.model")
	v.Pre, _ = m.String("tokenizer.ggml.pre")
	v.Tokens, _ = m.Strings("tokenizer.ggml.tokens")
	v.Types, _ = m.Ints("tokenizer.ggml.token_type")
	v.Scores, _ = m.Floats("tokenizer.ggml.scores")
	v.Merges, _ = m.Strings("tokenizer.ggml.merges")
	for key, id := range map[string]*int{"bos": &v.BOS, "eos": &v.EOS, "unknown": &v.Unknown} {
		if n, err := m.Int("tokenizer.ggml." + key + "_token_id"); err == nil {
			*id = n
		}
	}
	for key, b := range map[string]**bool{"add_bos_token": &v.AddBOS, "add_eos_token": &v.AddEOS, "add_space_prefix": &v.AddSpacePrefix} {
		if on, err := m.Bool("tokenizer.ggml." + key); err == nil {
			*b = &on
		}
	}
	tok, err := FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestScoredVocab merges by score by hand: of two neighbouring pairs the higher score wins, of equal ones the left.
func TestScoredVocab(t *testing.T) {
	v := Vocab{Kind: "llama", BOS: 1, EOS: -1, Unknown: 0,
		Tokens: []string{"<unk>", "<s>", "<0xC3>", "<0xA9>", "▁", "a", "b", "c", "ab", "bc", "▁a", "xy", "<u>"},
		Scores: []float32{0, 0, 0, 0, -9, -9, -9, -9, -2, -1, -3, -4, 0},
		Types:  []int{2, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4}}
	tok, err := FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want string
	}{
		{"", ""},
		{"abc", "▁a bc"}, // bc is worth more than ab
		{"ab", "▁ ab"},   // ab is worth more than ▁a
		{"aab", "▁a ab"}, // and ▁a is left of nothing then
		{"é", "▁ <0xC3> <0xA9>"},
		{"xy", "▁ xy"},   // of characters that are no tokens
		{"x", "▁ <unk>"}, // no byte token for x
		{"a<u>a", "▁a <u> ▁a"},
		{"a<s>", "▁a <s>"},
	} {
		var got []string
		for _, id := range tok.Encode(c.text, false) {
			s, _ := tok.Token(id)
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %s, want %s", c.text, s, c.want)
		}
	}
	if got := tok.EncodePlain("<s>", false); slices.Contains(got, 1) {
		t.Errorf("plain <s> gave the control token: %v", got)
	}
	if got := tok.Decode(tok.Encode("ab éa", true), true); got != "ab éa" {
		t.Errorf("decoded %q", got)
	}
	no := false
	v.AddSpacePrefix, v.AddBOS = &no, &no
	if tok, err = FromVocab(v); err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("ab", true); !slices.Equal(got, []int{8}) {
		t.Errorf("without prefix and BOS: %v", got)
	}
}

func TestMergedVocab(t *testing.T) {
	v := Vocab{Kind: "gpt2", Pre: "llama-bpe", BOS: 4, EOS: -1, Unknown: -1,
		Tokens: []string{"a", "b", "Ġ", "ab", "<|b|>", "Ġa"}, Types: []int{1, 1, 1, 1, 3, 1}, Merges: []string{"a b"}}
	tok, err := FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("ab a<|b|>", true), []int{4, 3, 5, 4}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	for _, c := range []struct {
		change func(*Vocab)
		want   string
	}{
		{func(v *Vocab) { v.Kind = "bert" }, `kind "bert"`},
		{func(v *Vocab) { v.Pre = "nonsense" }, `pre-tokenizer "nonsense"`},
		{func(v *Vocab) { v.Merges = []string{"a c"} }, `merge 0 ("a c")`},
		{func(v *Vocab) { v.Types = v.Types[1:] }, "5 token types for 6 tokens"},
		{func(v *Vocab) { v.Kind = "llama" }, "0 scores for 6 tokens"},
		{func(v *Vocab) { v.BOS = 6 }, "special ids"},
		{func(v *Vocab) { v.Tokens = nil }, "0 tokens"},
	} {
		bad := v
		c.change(&bad)
		if _, err := FromVocab(bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want it to say %s", err, c.want)
		}
	}
}
