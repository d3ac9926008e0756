package tokenizer

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rankFile is a tiktoken file of all bytes, in order, and then tokens.
func rankFile(tokens ...string) []byte {
	var b strings.Builder
	for i := range 256 {
		tokens = slices.Insert(tokens, i, string([]byte{byte(i)}))
	}
	for rank, token := range tokens {
		fmt.Fprintf(&b, "%s %d\n", base64.StdEncoding.EncodeToString([]byte(token)), rank)
	}
	return []byte(b.String())
}

func TestTiktoken(t *testing.T) {
	data := rankFile("th", "he", "the", " the", "日", "日本", "abc")
	tok, err := FromTiktoken(data, map[string]int{"[BOS]": 300, "<|im_end|>": 301}, KimiPattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		want []int
	}{
		{"the", []int{258}},
		{"then", []int{258, 'n'}},
		{"thhe", []int{256, 257}},
		{" the", []int{259}},
		{"abc", []int{262}}, // a token that no merges lead to is one as a whole word
		{"abcd", []int{'a', 'b', 'c', 'd'}},
		{"日本the", []int{261, 258}}, // Han is a word of its own
		{"日本", []int{261}},
		{"th<|im_end|>e", []int{256, 301, 'e'}},
	} {
		got := tok.Encode(c.text, true)
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.text, got, c.want)
		}
		if text := tok.Decode(got, false); text != c.text {
			t.Errorf("%q: decoded %q", c.text, text)
		}
	}
	if got := tok.Decode([]int{300, 'a', 301}, true); got != "a" || tok.VocabSize() != 302 || !tok.IsSpecial(300) {
		t.Errorf("special tokens: %q, size %d", got, tok.VocabSize())
	}
	for _, c := range []struct{ name, data, want string }{
		{"not base64", string(data) + "?? 400\n", "line 264"},
		{"no rank", "YQ==\n", "line 1: want a token and its rank"},
		{"negative", "YQ== -1\n", `rank "-1"`},
		{"huge", "YQ== 99999999999\n", "rank"},
		{"twice", string(data) + "YQ== 400\n", "appears twice"},
		{"bytes missing", "YQ== 0\n", "no token for byte 0x00"},
	} {
		if _, err := FromTiktoken([]byte(c.data), nil, KimiPattern); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %s", c.name, err, c.want)
		}
	}
	if _, err := FromTiktoken(data, map[string]int{"x": 5}, KimiPattern); err == nil || !strings.Contains(err.Error(), "special token") {
		t.Errorf("taken id: error %v", err)
	}
	if _, err := FromTiktoken(data, nil, "("); err == nil {
		t.Error("broken pattern: no error")
	}
}

func FuzzTiktoken(f *testing.F) {
	f.Add("YQ== 0\nYg== 256\n", "[BOS]", 300, "ab[BOS]")
	base := rankFile("th")
	f.Fuzz(func(t *testing.T, lines, special string, id int, text string) {
		if len(lines)+len(text) > 1<<12 {
			return
		}
		tok, err := FromTiktoken(append(slices.Clone(base), lines...), map[string]int{special: id}, KimiPattern)
		if err != nil {
			return
		}
		if got, want := tok.Decode(tok.Encode(text, false), false), string([]rune(text)); got != want && !strings.Contains(want, special) {
			t.Errorf("%q came back as %q", want, got)
		}
	})
}
