package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// small tokenizer.json files, one of each kind of pipeline; also the fuzzer's seeds.
const (
	tinyBytes = `{"added_tokens":[{"id":5,"content":"<s>","special":true},{"id":6,"content":"ab ","normalized":true,"rstrip":true,"single_word":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":"x+"},"content":"a"}]},
"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+|\\s+(?!\\S)"},"behavior":"MergedWithNext","invert":false},
{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"ids":[5]}}},
"decoder":{"type":"ByteLevel"},
"model":{"type":"BPE","vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4},"merges":[["a","b"],["Ġ","ab"]],"ignore_merges":true}}`
	tinyPieces = `{"added_tokens":[{"id":0,"content":"<unk>","special":true}],"normalizer":{"type":"Prepend","prepend":"▁"},
"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false},
"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3,"<0x0A>":4},"merges":["▁ a"]}}`
)

func FuzzLoad(f *testing.F) {
	f.Add([]byte(tinyBytes), "ab xx<s> 12\n")
	f.Add([]byte(tinyPieces), "a b\n日")
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{},"merges":[]}}`), "x")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		if len(data) > 1<<14 || len(text) > 1<<10 {
			return
		}
		tok, err := Load(data)
		if err != nil {
			return
		}
		for _, ids := range [][]int{tok.Encode(text, true), tok.EncodePlain(text, false)} {
			for _, id := range ids {
				if _, ok := tok.Token(id); !ok {
					t.Fatalf("id %d is no token", id)
				}
			}
			tok.Decode(ids, true)
		}
	})
}

// FuzzRoundTrip: what the byte-level family encodes decodes to the same text, streamed or whole.
func FuzzRoundTrip(f *testing.F) {
	f.Add("Hello  wörld\n日本 🙂<|eot_id|>")
	tok := loadFamily(f, "llama3")
	f.Fuzz(func(t *testing.T, s string) {
		ids := tok.Encode(s, false)
		want := string([]rune(s))
		if got := tok.Decode(ids, false); got != want {
			t.Fatalf("%q came back as %q", want, got)
		}
		d := tok.NewDecoder(false)
		var b strings.Builder
		for _, id := range ids {
			piece := d.Next(id)
			if !utf8.ValidString(piece) {
				t.Fatalf("piece %q", piece)
			}
			b.WriteString(piece)
		}
		if b.String()+d.Flush() != want {
			t.Fatalf("%q streamed otherwise", want)
		}
	})
}

// TestLoadErrors: what is not supported or broken is refused, and the error names it.
func TestLoadErrors(t *testing.T) {
	if _, err := Load([]byte(tinyBytes)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load([]byte(tinyPieces)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, with, want string }{
		{`"type":"BPE"`, `"type":"Unigram"`, `model: type "Unigram"`},
		{`{"type":"NFC"}`, `{"type":"Precompiled"}`, `normalizer: normalizers[0]: type "Precompiled"`},
		{`{"type":"Digits"`, `{"type":"UnicodeScripts"`, `pre_tokenizer: pretokenizers[1]: type "UnicodeScripts"`},
		{`"decoder":{"type":"ByteLevel"}`, `"decoder":{"type":"CTC"}`, `decoder: type "CTC"`},
		{`"type":"TemplateProcessing"`, `"type":"Other"`, `post_processor: type "Other"`},
		{`"single":[`, `"single":[{"Sequence":{"id":"B"}},`, `single[0]`},
		{`"ids":[5]`, `"ids":[77]`, `id 77 is no token`},
		{`MergedWithNext`, `Sideways`, `behavior "Sideways"`},
		{`"Regex":"x+"`, `"Regex":"(x+"`, `normalizers[1]: Replace: pattern "(x+"`},
		{`"Regex":"x+"`, `"Glob":"x+"`, `want a String or a Regex`},
		{`["a","b"]`, `["a","c"]`, `token "c" is not in the vocabulary`},
		{`["a","b"]`, `["a","b","a"]`, `number 0 has 3 parts`},
		{`"ab":3`, `"ab":0`, `share id 0`},
		{`"ab":3`, `"ab":-1`, `has id -1`},
		{`"ab":3`, `"ab":99999999`, `has id 99999999`},
		{`"ignore_merges":true`, `"dropout":0.1`, `dropout 0.1`},
		{`"ignore_merges":true`, `"unk_token":"?"`, `unk_token "?"`},
		{`"model":`, `"mode":`, `no model`},
		{`{`, `[`, `invalid character`},
	} {
		data := strings.Replace(tinyBytes, c.old, c.with, 1)
		if data == tinyBytes {
			t.Fatalf("%s is not in the file", c.old)
		}
		_, err := Load([]byte(data))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "tokenizer.json: ") {
			t.Errorf("%s: error %v, want it to say %q", c.with, err, c.want)
		}
	}
}

// TestAddedTokens covers the rules of added tokens one by one, on a vocabulary of single letters.
func TestAddedTokens(t *testing.T) {
	type added struct {
		Content    string `json:"content"`
		Special    bool   `json:"special"`
		Normalized bool   `json:"normalized"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		SingleWord bool   `json:"single_word"`
	}
	for _, c := range []struct {
		name string
		list []added
		text string
		want []string
	}{
		{"longest of the leftmost", []added{{Content: "ab"}, {Content: "abc"}, {Content: "bca"}}, "abca", []string{"abc", "a"}},
		{"earlier of equals", []added{{Content: "b", Special: true}, {Content: "b"}}, "ab", []string{"a", "b"}},
		{"left white space", []added{{Content: "X", LStrip: true}}, "a \t X b", []string{"a", "X", " ", "b"}},
		{"right white space", []added{{Content: "X", RStrip: true}}, "a X  b", []string{"a", " ", "X", "b"}},
		{"single word", []added{{Content: "c", SingleWord: true}}, "cc c ac", []string{"cc", " ", "c", " ", "a", "c"}},
		{"normalized", []added{{Content: "XY", Normalized: true}}, "aXYbxy", []string{"a", "xy", "b", "xy"}},
		{"not normalized", []added{{Content: "XY"}}, "aXYbxy", []string{"a", "XY", "b", "x", "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := json.Marshal(c.list)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := Load([]byte(`{"added_tokens":` + string(list) + `,"normalizer":{"type":"Lowercase"},
				"model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2," ":3,"x":4,"y":5,"cc":6},"merges":[["c","c"]]}}`))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, id := range tok.Encode(c.text, false) {
				s, _ := tok.Token(id)
				got = append(got, s)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q: %q, want %q", c.text, got, c.want)
			}
		})
	}
}
