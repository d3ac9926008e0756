package tokenizer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Vocab is a vocabulary as a GGUF file's metadata holds it (the keys tokenizer.ggml.*).
type Vocab struct {
	Kind   string // "gpt2": byte-level BPE by merges; "llama": SentencePiece BPE by scores
	Pre    string // "gpt2" only: the name of the splitting pattern, such as "llama-bpe", "qwen2" or "gpt-4o"
	Tokens []string
	Types  []int     // NormalToken and so on; empty: all normal
	Scores []float32 // "llama" only: the higher merges first
	Merges []string  // "gpt2" only: two tokens with a space between

	BOS, EOS, Unknown int // ids, -1 for none

	// What the file may leave out, nil: by the rules of its kind.
	AddBOS, AddEOS *bool
	AddSpacePrefix *bool // "llama" only: a space goes before text that begins the input or follows an added token
}

// Types of tokens, numbered as in the files.
const (
	NormalToken = 1 + iota
	UnknownToken
	ControlToken
	UserToken // an added token that is not special
	UnusedToken
	ByteToken
)

// longestPiece bounds the bytes of a token that merges by score, whose every division is tried.
const longestPiece = 1 << 10

// FromVocab makes a tokenizer of a GGUF vocabulary. Added tokens in the text (control, unknown and user-defined ones) are
// matched leftmost-longest, as in a tokenizer.json.
func FromVocab(v Vocab) (*Tokenizer, error) {
	t, err := fromVocab(v)
	if err != nil {
		return nil, fmt.Errorf("vocabulary: %w", err)
	}
	return t, nil
}

func fromVocab(v Vocab) (*Tokenizer, error) {
	if err := v.validate(); err != nil {
		return nil, err
	}
	t := &Tokenizer{ids: make(map[string]int, len(v.Tokens))}
	vocab := make(map[string]int32, len(v.Tokens))
	var added []addedToken
	for id, token := range v.Tokens {
		t.setToken(id, token)
		if _, taken := vocab[token]; !taken {
			vocab[token] = int32(id)
		}
		kind := v.typeOf(id)
		t.special[id] = kind == ControlToken || kind == UnknownToken
		if (t.special[id] || kind == UserToken) && token != "" {
			added = append(added, addedToken{id: id, content: token})
		}
	}
	t.added.raw = newMatcher(added)

	bos := true
	var err error
	if v.Kind == "llama" {
		err = t.scoredVocab(v, vocab)
	} else {
		bos, err = t.mergedVocab(v, vocab)
	}
	if err != nil {
		return nil, err
	}
	if fallbackTo(v.AddBOS, bos) && v.BOS >= 0 {
		t.prefix = []int{v.BOS}
	}
	if fallbackTo(v.AddEOS, false) && v.EOS >= 0 {
		t.suffix = []int{v.EOS}
	}
	return t, nil
}

func (v *Vocab) typeOf(id int) int {
	if len(v.Types) == 0 {
		return NormalToken
	}
	return v.Types[id]
}

func (v *Vocab) validate() error {
	n := len(v.Tokens)
	switch {
	case v.Kind != "gpt2" && v.Kind != "llama":
		return fmt.Errorf("kind %q is not supported: gpt2 and llama are", v.Kind)
	case n == 0 || n > maxTokens:
		return fmt.Errorf("%d tokens: want 1 to %d", n, maxTokens)
	case len(v.Types) != 0 && len(v.Types) != n:
		return fmt.Errorf("%d token types for %d tokens", len(v.Types), n)
	case v.Kind == "llama" && len(v.Scores) != n:
		return fmt.Errorf("%d scores for %d tokens", len(v.Scores), n)
	case len(v.Merges) > maxMerges:
		return fmt.Errorf("%d merges: at most %d", len(v.Merges), maxMerges)
	case v.BOS >= n || v.EOS >= n || v.Unknown >= n:
		return fmt.Errorf("special ids %d, %d, %d: there are %d tokens", v.BOS, v.EOS, v.Unknown, n)
	}
	for id, token := range v.Tokens {
		if len(token) > maxToken {
			return fmt.Errorf("token %d has %d bytes: at most %d", id, len(token), maxToken)
		}
	}
	return nil
}

// mergedVocab sets t up for the gpt2 kind and tells whether it adds a beginning-of-text token by default.
func (t *Tokenizer) mergedVocab(v Vocab, vocab map[string]int32) (bos bool, err error) {
	pre, ok := gptPres[v.Pre]
	if !ok {
		return false, fmt.Errorf("pre-tokenizer %q is not known", v.Pre)
	}
	if pre.nfc {
		t.normalize = unicodeForm(norm.NFC)
	}
	if t.split, err = splitSteps(pre.patterns); err != nil {
		return false, err
	}
	merges := make([]merge, len(v.Merges))
	for i, line := range v.Merges {
		left, right, ok := strings.Cut(line, " ")
		l, ok1 := vocab[left]
		r, ok2 := vocab[right]
		joined, ok3 := vocab[left+right]
		if !ok || !ok1 || !ok2 || !ok3 {
			return false, fmt.Errorf("merge %d (%q) is not of tokens into a token", i, line)
		}
		merges[i] = merge{l, r, joined, uint32(i)}
	}
	t.model = newBPE(vocab, merges)
	t.model.byBytes = true
	if pre.whole {
		t.model.useWhole()
	}
	t.decode = []decodeStep{func() decodeStage { return new(byteLevel) }}
	return pre.bos, nil
}

// scoredVocab sets t up for the llama kind: two neighbours merge if together they are a token, the highest score first.
// That is BPE with a merge for every division of every token, ranked by the token's score.
func (t *Tokenizer) scoredVocab(v Vocab, vocab map[string]int32) error {
	pieces := make(map[string]int32, len(vocab)) // tokens that text can become
	for token, id := range vocab {
		switch v.typeOf(int(id)) {
		case NormalToken, UserToken:
			if len(token) > longestPiece {
				return fmt.Errorf("token %d has %d bytes: at most %d", id, len(token), longestPiece)
			}
			if !utf8.ValidString(token) {
				continue // no text becomes it
			}
			pieces[token] = id
		}
	}
	// A character inside a token need not be a token: it is a symbol all the same, spelled in bytes where it stays alone.
	symbols, spellings := pieces, []string(nil)
	extra := int32(len(v.Tokens))
	for token := range pieces {
		for _, r := range token {
			c := string(r)
			if _, ok := symbols[c]; ok {
				continue
			}
			if spellings == nil {
				symbols = make(map[string]int32, len(pieces)+64)
				for p, id := range pieces {
					symbols[p] = id
				}
			}
			symbols[c] = extra + int32(len(spellings))
			spellings = append(spellings, c)
		}
	}
	ranks, err := scoreRanks(v.Scores)
	if err != nil {
		return err
	}
	var merges []merge
	for token, id := range pieces {
		for i := range token {
			left, ok1 := symbols[token[:i]]
			right, ok2 := symbols[token[i:]]
			if i > 0 && ok1 && ok2 {
				merges = append(merges, merge{left, right, id, ranks[id]})
			}
		}
	}
	if len(merges) > maxMerges {
		return fmt.Errorf("%d ways to merge: at most %d", len(merges), maxMerges)
	}
	m := newBPE(symbols, merges)
	m.firstExtra, m.spellings = extra, spellings
	for b := range m.fallback {
		if id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.fallback[b] = id
		}
	}
	m.unk = int32(max(v.Unknown, -1))
	m.findCuts(func(id int32) string {
		if id >= extra {
			return spellings[id-extra]
		}
		return v.Tokens[id]
	}, merges)
	t.model = m

	spacePrefix := fallbackTo(v.AddSpacePrefix, true)
	steps := []normalizer{replaceAll(" ", "▁")}
	t.decode = []decodeStep{mapTokens(func(s string) string { return strings.ReplaceAll(s, "▁", " ") }),
		func() decodeStage { return new(byteFallback) }}
	if spacePrefix {
		steps = append([]normalizer{prepend("▁")}, steps...)
		t.decode = append(t.decode, func() decodeStage { return &stripStream{" ", 1, 1} })
	}
	t.normalize = chain(steps)
	return nil
}

// scoreRanks returns each token's rank: 0 for the highest score, the same for equal ones.
func scoreRanks(scores []float32) ([]uint32, error) {
	order := make([]int, len(scores))
	for i, s := range scores {
		if math.IsNaN(float64(s)) {
			return nil, fmt.Errorf("the score of token %d is not a number", i)
		}
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	ranks := make([]uint32, len(scores))
	rank := uint32(0)
	for i, id := range order {
		if i > 0 && scores[id] != scores[order[i-1]] {
			rank++
		}
		ranks[id] = rank
	}
	return ranks, nil
}
