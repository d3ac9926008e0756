package tokenizer

import (
	"encoding/json"
	"strings"
	"testing"
)

// benchText is about a megabyte of prose, code and other scripts, made of the vectors' texts.
func benchText(tb testing.TB) string {
	var vectors []vector
	if err := json.Unmarshal(testFile(tb, "qwen3.vectors.json.gz"), &vectors); err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	for b.Len() < 1<<20 {
		for _, v := range vectors[200:] {
			b.WriteString(v.Text)
		}
	}
	return b.String()
}

// BenchmarkEncode encodes mixed text; the target is 3 MB/s for the byte-level families and 1 MB/s for the others.
func BenchmarkEncode(b *testing.B) {
	text := benchText(b)
	for _, name := range families {
		b.Run(name, func(b *testing.B) {
			tok := loadFamily(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text, false)
			}
		})
	}
}

// BenchmarkEncodeUnseen encodes text whose words repeat little, so that the cache of words is no help.
func BenchmarkEncodeUnseen(b *testing.B) {
	var sb strings.Builder
	x := uint64(1)
	for sb.Len() < 1<<20 {
		for range 1 + x%9 {
			x = x*6364136223846793005 + 1442695040888963407
			sb.WriteByte("etaoinshrdlucmfw"[x>>60])
		}
		sb.WriteByte(' ')
	}
	text := sb.String()
	for _, name := range families {
		b.Run(name, func(b *testing.B) {
			tok := loadFamily(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text, false)
			}
		})
	}
}

// BenchmarkEncodeOneWord encodes a megabyte without a place to cut: the heap of merges must keep it near linear.
func BenchmarkEncodeOneWord(b *testing.B) {
	for _, size := range []int{1 << 17, 1 << 20} {
		text := strings.Repeat("theandthat", size/10)
		for _, name := range []string{"llama3", "gemma3"} {
			b.Run(name+"/"+map[bool]string{true: "1M", false: "128K"}[size == 1<<20], func(b *testing.B) {
				tok := loadFamily(b, name)
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					tok.Encode(text, false)
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	text := benchText(b)
	for _, name := range families {
		b.Run(name, func(b *testing.B) {
			tok := loadFamily(b, name)
			ids := tok.Encode(text, false)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Decode(ids, true)
			}
		})
	}
}
