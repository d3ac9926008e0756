package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read from a file.
const (
	maxFile    = 512 << 20 // bytes
	maxTokens  = 1 << 22   // ids, so that the tables are bounded
	maxMerges  = 1 << 23
	maxToken   = 64 << 10 // bytes of an added token
	maxPattern = 16 << 10 // bytes of a regular expression
	maxDepth   = 8        // steps in sequences in sequences
)

// fileJSON is tokenizer.json as the Hugging Face tokenizers library (0.23) writes it.
type fileJSON struct {
	AddedTokens   []addedJSON     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         *modelJSON      `json:"model"`
}

type modelJSON struct {
	Type         string          `json:"type"`
	Dropout      *float64        `json:"dropout"`
	UnkToken     *string         `json:"unk_token"`
	Prefix       *string         `json:"continuing_subword_prefix"`
	Suffix       *string         `json:"end_of_word_suffix"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
}

// Load reads a Hugging Face tokenizer.json. An added token gets the id that the library gives it: its id in the model's
// vocabulary, or the next one after the vocabulary and the added tokens before it.
func Load(data []byte) (*Tokenizer, error) {
	t, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func load(data []byte) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%d bytes: at most %d", len(data), maxFile)
	}
	var f fileJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if f.Model == nil {
		return nil, errors.New("no model")
	}
	t := &Tokenizer{ids: make(map[string]int)}

	normalize, err := parseNormalizer(f.Normalizer, 0)
	if err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	t.normalize = normalize
	steps, err := parsePreTokenizer(f.PreTokenizer, 0)
	if err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	t.split = steps
	if err := t.loadModel(f.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := t.loadAdded(f.AddedTokens); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if err := t.loadPostProcessor(f.PostProcessor, 0); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	fused := false
	if t.decode, err = parseDecoder(f.Decoder, &fused, 0); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	if isNull(f.Decoder) {
		t.decode = []decodeStep{func() decodeStage { return new(joined) }}
	}
	return t, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// loadModel reads the vocabulary and the merges.
func (t *Tokenizer) loadModel(f *modelJSON) error {
	if f.Type != "BPE" && (f.Type != "" || isNull(f.Merges)) {
		return fmt.Errorf("type %q is not supported: BPE is", f.Type)
	}
	if f.Dropout != nil && *f.Dropout != 0 {
		return fmt.Errorf("dropout %g is not supported", *f.Dropout)
	}
	var vocab map[string]int32
	if err := json.Unmarshal(f.Vocab, &vocab); err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	for token, id := range vocab {
		if id < 0 || id >= maxTokens {
			return fmt.Errorf("vocab: token %q has id %d: ids are 0 to %d", token, id, maxTokens-1)
		}
		if other, taken := t.Token(int(id)); taken {
			return fmt.Errorf("vocab: tokens %q and %q share id %d", other, token, id)
		}
		t.setToken(int(id), token)
	}
	innerMark, endMark := deref(f.Prefix), deref(f.Suffix)
	merges, err := parseMerges(f.Merges, vocab, innerMark)
	if err != nil {
		return err
	}
	m := newBPE(vocab, merges)
	m.innerMark, m.endMark, m.fuseUnk = innerMark, endMark, f.FuseUnk
	if f.UnkToken != nil {
		id, ok := vocab[*f.UnkToken]
		if !ok {
			return fmt.Errorf("unk_token %q is not in the vocabulary", *f.UnkToken)
		}
		m.unk = id
	}
	if last := len(t.split) - 1; last >= 0 && innerMark == "" && endMark == "" && !f.ByteFallback {
		// The letters that the last step would write are symbols one for one, so the model can read the bytes themselves.
		if _, ok := t.split[last].(byteLettersStep); ok {
			m.byBytes = true
			t.split = t.split[:last]
		}
	}
	if f.ByteFallback {
		m.useFallback()
	}
	if f.IgnoreMerges {
		m.useWhole()
	}
	m.findCuts(func(id int32) string { return t.tokens[id] }, merges)
	t.model = m
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// parseMerges reads a merge list: pairs, or in older files strings with a space between the two.
func parseMerges(raw json.RawMessage, vocab map[string]int32, innerMark string) ([]merge, error) {
	var list [][]string
	if err := json.Unmarshal(raw, &list); err != nil {
		var lines []string
		if json.Unmarshal(raw, &lines) != nil {
			return nil, fmt.Errorf("merges: %w", err)
		}
		list = make([][]string, 0, len(lines))
		for _, line := range lines {
			if !strings.HasPrefix(line, "#version") {
				list = append(list, strings.Split(line, " "))
			}
		}
	}
	if len(list) > maxMerges {
		return nil, fmt.Errorf("merges: %d of them: at most %d", len(list), maxMerges)
	}
	merges := make([]merge, len(list))
	for i, pair := range list {
		if len(pair) != 2 {
			return nil, fmt.Errorf("merges: number %d has %d parts: want 2", i, len(pair))
		}
		joined := pair[0] + strings.TrimPrefix(pair[1], innerMark)
		for _, p := range []struct {
			token string
			id    *int32
		}{{pair[0], &merges[i].left}, {pair[1], &merges[i].right}, {joined, &merges[i].result}} {
			id, ok := vocab[p.token]
			if !ok {
				return nil, fmt.Errorf("merges: number %d (%q %q): token %q is not in the vocabulary", i, pair[0], pair[1], p.token)
			}
			*p.id = id
		}
		merges[i].rank = uint32(i)
	}
	return merges, nil
}

// patternJSON is what a Split or a Replace looks for.
type patternJSON struct {
	String *string
	Regex  *string
}

func (p *patternJSON) valid() error {
	if p == nil || (p.String == nil) == (p.Regex == nil) {
		return errors.New("pattern: want a String or a Regex")
	}
	return nil
}

// oneRune checks that a field holds one character.
func oneRune(field, s string) error {
	if _, n := utf8.DecodeRuneInString(s); n == 0 || n != len(s) {
		return fmt.Errorf("%s %q: want one character", field, s)
	}
	return nil
}

// small checks a count from a file.
func small(field string, n int) error {
	if n < 0 || n > math.MaxUint16 {
		return fmt.Errorf("%s %d: want 0 to %d", field, n, math.MaxUint16)
	}
	return nil
}
