package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// letters are characters that the patterns, normalizers and vocabularies treat differently.
var letters = []string{"a", "b", "s", "t", "A", "S", "é", "e\u0301", "ñ", "É", "ǅ", "ʰ", "ª", "ß", "ſ", "K", "日", "本", "か", "ก", "ำ", "ह", "ि",
	"0", "1", "23", "½", "٣", "Ⅷ", " ", "  ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\u2028", "'", "'s", "'LL", "'re", "/", ".", "_", "-", "<", "|",
	"▁", "🙂", "👨\u200d👩", "\u0301", "\u0316", "\u0345", "\ufffd", "the", "ing", " the", "<|im_end|>", "<s>", "<end_of_turn>"}

func randomText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range r.IntN(n + 1) {
		b.WriteString(letters[r.IntN(len(letters))])
	}
	return b.String()
}

// TestWordPatterns compares every hand-written splitter with the regular expression it stands for.
func TestWordPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for pattern, words := range wordPatterns {
		re, err := compileRegex(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			checkWords(t, words, re, randomText(r, 24))
		}
	}
}

func checkWords(t *testing.T, words *wordPattern, re *regex, s string) {
	t.Helper()
	var got, want []string
	wordStep{words}.split(section{text: s}, func(w section) { got = append(got, w.text) })
	for _, m := range re.find(s) {
		if !m.match {
			t.Fatalf("%s leaves %q of %q out", words.regex(), s[m.start:m.end], s)
		}
		want = append(want, s[m.start:m.end])
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s on %q: words %q, want %q", words.regex(), s, got, want)
	}
}

func FuzzWordPatterns(f *testing.F) {
	f.Add("It's 1234 ÉTÉ’s\r\n\n  日本 x/\n")
	all := make(map[*wordPattern]*regex)
	for pattern, words := range wordPatterns {
		re, err := compileRegex(pattern)
		if err != nil {
			f.Fatal(err)
		}
		all[words] = re
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || len(s) > 1<<12 {
			return
		}
		for words, re := range all {
			if s != "" {
				checkWords(t, words, re, s)
			}
		}
	})
}

// TestMergeOrder compares the two ways of merging on words of many lengths.
func TestMergeOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{"llama3", "gemma3"} {
		m := loadFamily(t, name).model
		for range 400 {
			var a, b work
			m.symbols(&a, randomText(r, 60))
			b.syms = slices.Clone(a.syms)
			a.mergeShort(m.pairs)
			b.mergeLong(m.pairs)
			if !slices.Equal(a.syms, b.syms) {
				t.Fatalf("%s: short %v, long %v", name, a.syms, b.syms)
			}
		}
	}
}

// TestCuts compares encoding in pieces with encoding a text as the one word that it is.
func TestCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, name := range []string{"gemma3", "mistral"} {
		tok := loadFamily(t, name)
		uncut := loadFamily(t, name)
		if tok.model.adjacent == nil {
			t.Fatalf("%s: words are not cut", name)
		}
		uncut.model.adjacent = nil
		for range 400 {
			s := randomText(r, 80)
			if got, want := tok.Encode(s, false), uncut.Encode(s, false); !slices.Equal(got, want) {
				t.Fatalf("%s: %q: cut %v, uncut %v", name, s, got, want)
			}
		}
	}
}

// TestStreaming checks that a decoder's pieces are whole characters, add up to Decode, and do not wait for the end.
func TestStreaming(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range families {
		tok := loadFamily(t, name)
		d := tok.NewDecoder(false)
		for range 200 {
			ids := tok.Encode(randomText(r, 40), true)
			for range r.IntN(8) { // ids that no text encodes to: broken characters, gaps
				ids = slices.Insert(ids, r.IntN(len(ids)+1), r.IntN(tok.VocabSize()+3)-1)
			}
			var b strings.Builder
			for _, id := range ids {
				piece := d.Next(id)
				if !utf8.ValidString(piece) {
					t.Fatalf("%s: piece %q of ids %v", name, piece, ids)
				}
				b.WriteString(piece)
			}
			b.WriteString(d.Flush())
			if got, want := b.String(), tok.Decode(ids, false); got != want {
				t.Fatalf("%s: streamed %q, decoded %q", name, got, want)
			}
		}
		ids := tok.Encode("Hello there, my lord", false)
		var b strings.Builder
		for _, id := range ids {
			b.WriteString(d.Next(id))
		}
		if b.String() != "Hello there, my lord" {
			t.Errorf("%s: %q before Flush", name, b.String())
		}
		d.Flush()
	}
}

// TestRoundTrip checks that text survives where the family promises it: no normalizer that changes it, no added tokens cut out.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, name := range []string{"llama3", "gpt-oss", "gemma3"} {
		tok := loadFamily(t, name)
		for range 300 {
			s := strings.ReplaceAll(randomText(r, 40), "▁", "_")
			if got := tok.Decode(tok.Encode(s, false), false); got != s {
				t.Fatalf("%s: %q came back as %q", name, s, got)
			}
			plain := tok.EncodePlain(s, false)
			if got := tok.Decode(plain, false); got != s {
				t.Fatalf("%s: plain %q came back as %q", name, s, got)
			}
			if i := slices.IndexFunc(plain, tok.IsSpecial); i >= 0 {
				t.Fatalf("%s: plain %q gave special token %d", name, s, plain[i])
			}
		}
	}
}

// TestConcurrentUse encodes from several goroutines at once; the race detector sees the cache.
func TestConcurrentUse(t *testing.T) {
	for _, name := range []string{"qwen3", "mistral"} {
		tok := loadFamily(t, name)
		want := make([][]int, 50)
		text := func(i int) string { return randomText(rand.New(rand.NewPCG(uint64(i), 1)), 60) }
		fresh := loadFamily(t, name)
		for i := range want {
			want[i] = fresh.Encode(text(i), true)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range want {
					if got := tok.Encode(text(i), true); !slices.Equal(got, want[i]) {
						t.Errorf("%s: text %d: %v, want %v", name, i, got, want[i])
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestLongTexts encodes what would show a quadratic step: minutes instead of milliseconds.
func TestLongTexts(t *testing.T) {
	const n = 1 << 19
	texts := map[string]string{"letters": strings.Repeat("a", n), "spaces": strings.Repeat(" ", n), "breaks": strings.Repeat("\n", n),
		"marks": "e" + strings.Repeat("\u0301\u0316", n/4), "capitals": strings.Repeat("AB", n/2), "emoji": strings.Repeat("🙂", n/4),
		"quotes": strings.Repeat("'", n), "almost special": strings.Repeat("<|im_", n/5), "special": strings.Repeat("<|im_end|>", n/10)}
	for _, name := range families {
		tok := loadFamily(t, name)
		for kind, text := range texts {
			start := time.Now()
			ids := tok.Encode(text, false)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%s: %s: %d bytes took %v", name, kind, len(text), took)
			}
			if got := tok.Decode(ids, false); name != "qwen3" && got != text {
				t.Errorf("%s: %s came back otherwise", name, kind)
			}
		}
	}
}
