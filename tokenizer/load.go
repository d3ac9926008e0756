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

type addedJSON struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
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

// loadAdded numbers the added tokens and makes the matchers that look for them.
func (t *Tokenizer) loadAdded(list []addedJSON) error {
	next := len(t.model.vocab)
	var raw, normalized [2][]addedToken // special ones first
	for _, a := range list {
		if a.Content == "" {
			continue
		}
		if len(a.Content) > maxToken {
			return fmt.Errorf("a token of %d bytes: at most %d", len(a.Content), maxToken)
		}
		id, ok := t.ids[a.Content]
		if !ok {
			if id = next; id >= maxTokens {
				return fmt.Errorf("token %q would get id %d: ids are 0 to %d", a.Content, id, maxTokens-1)
			}
			if other, taken := t.Token(id); taken {
				return fmt.Errorf("token %q: its id %d is %q in the vocabulary", a.Content, id, other)
			}
			t.setToken(id, a.Content)
		}
		next = max(next, id+1)
		t.special[id] = t.special[id] || a.Special

		group := 1
		if a.Special {
			group = 0
		}
		token := addedToken{id: id, content: a.Content, singleWord: a.SingleWord, left: a.LStrip, right: a.RStrip}
		if !a.Normalized {
			raw[group] = append(raw[group], token)
			continue
		}
		if t.normalize != nil {
			token.content = t.normalize(a.Content)
			t.tokens[id] = token.content // so it decodes to that
			t.special[id] = t.special[id] && token.content == a.Content
		}
		normalized[group] = append(normalized[group], token)
	}
	t.added.raw = newMatcher(append(raw[0], raw[1]...))
	t.added.normalized = newMatcher(append(normalized[0], normalized[1]...))
	return nil
}

// postJSON is any of the post-processors.
type postJSON struct {
	Type       string            `json:"type"`
	Processors []json.RawMessage `json:"processors"`
	Single     []struct {
		SpecialToken *struct {
			ID string `json:"id"`
		}
		Sequence *struct {
			ID string `json:"id"`
		}
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int `json:"ids"`
	} `json:"special_tokens"`
	Sep json.RawMessage `json:"sep"`
	Cls json.RawMessage `json:"cls"`
}

// loadPostProcessor reads what the post-processor adds to a single text.
func (t *Tokenizer) loadPostProcessor(raw json.RawMessage, depth int) error {
	if isNull(raw) {
		return nil
	}
	var p postJSON
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	var before, after []int
	switch p.Type {
	case "ByteLevel": // only moves offsets
		return nil
	case "Sequence":
		if depth == maxDepth {
			return fmt.Errorf("sequences nested more than %d deep", maxDepth)
		}
		for i, q := range p.Processors {
			if err := t.loadPostProcessor(q, depth+1); err != nil {
				return fmt.Errorf("processors[%d]: %w", i, err)
			}
		}
		return nil
	case "BertProcessing", "RobertaProcessing":
		for _, edge := range []struct {
			name string
			raw  json.RawMessage
			ids  *[]int
		}{{"cls", p.Cls, &before}, {"sep", p.Sep, &after}} {
			var token string
			var id int
			if err := json.Unmarshal(edge.raw, &[]any{&token, &id}); err != nil {
				return fmt.Errorf("%s: %w", edge.name, err)
			}
			*edge.ids = []int{id}
		}
	case "TemplateProcessing":
		seen, ids := 0, &before
		for i, piece := range p.Single {
			switch {
			case piece.SpecialToken != nil:
				special, ok := p.SpecialTokens[piece.SpecialToken.ID]
				if !ok {
					return fmt.Errorf("single[%d]: special token %q is not defined", i, piece.SpecialToken.ID)
				}
				*ids = append(*ids, special.IDs...)
			case piece.Sequence != nil && piece.Sequence.ID == "A":
				seen++
				ids = &after
			default:
				return fmt.Errorf("single[%d] is neither a special token nor sequence A", i)
			}
		}
		if seen != 1 {
			return fmt.Errorf("single has sequence A %d times: want once", seen)
		}
	default:
		return fmt.Errorf("type %q is not supported", p.Type)
	}
	for _, id := range append(append([]int(nil), before...), after...) {
		if _, ok := t.Token(id); !ok {
			return fmt.Errorf("id %d is no token", id)
		}
	}
	if len(before)+len(after) > 1024 {
		return errors.New("adds more than 1024 tokens")
	}
	if len(t.prefix)+len(t.suffix) > 0 {
		return errors.New("two processors that add tokens are not supported")
	}
	t.prefix, t.suffix = before, after
	return nil
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
