package tokenizer

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Tokenizer converts between text and token ids. It does not change after loading and may be used from several goroutines.
type Tokenizer struct {
	tokens  []string       // by id; "" where known is false
	known   []bool         // by id: false where the file leaves a gap
	ids     map[string]int // the inverse of tokens
	special []bool         // by id
	added   addedTokens

	normalize normalizer // nil: text is taken as it is
	split     []splitStep
	model     *bpe
	prefix    []int // what the post-processor puts before and after the text's ids
	suffix    []int
	decode    []decodeStep
}

// Encode returns the ids of text. Added tokens that the text spells out become their ids; special says whether to add what
// the file's post-processor adds (a beginning-of-text token, mostly). Bytes that are not UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(text string, special bool) []int {
	return t.encode(text, special, false)
}

// EncodePlain is Encode for text that must not be able to name an added token: "<|im_end|>" in it is nine characters or so,
// never one token.
func (t *Tokenizer) EncodePlain(text string, special bool) []int {
	return t.encode(text, special, true)
}

func (t *Tokenizer) encode(text string, special, plain bool) []int {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	ids := make([]int, 0, len(text)/4+len(t.prefix)+len(t.suffix)+1)
	if special {
		ids = append(ids, t.prefix...)
	}
	if plain {
		ids = t.encodeText(section{text: text, first: true}, nil, ids)
	} else {
		ids = t.encodeSections(text, ids)
	}
	if special {
		ids = append(ids, t.suffix...)
	}
	return ids
}

// encodeSections cuts text at the added tokens that match it as written, then each rest at those that match it normalized.
func (t *Tokenizer) encodeSections(text string, ids []int) []int {
	t.added.raw.cut(text, func(s section, token int) {
		if token >= 0 {
			ids = append(ids, token)
			return
		}
		ids = t.encodeText(s, t.added.normalized, ids)
	})
	return ids
}

// encodeText normalizes a section, cuts it at the added tokens of m (nil: none), splits the rest into words and encodes them.
func (t *Tokenizer) encodeText(s section, m *matcher, ids []int) []int {
	if s.text == "" {
		return ids
	}
	if t.normalize != nil {
		s.text = t.normalize(s.text)
	}
	work := t.model.borrow()
	defer t.model.giveBack(work)
	words := func(w section) { ids = t.model.encode(work, w.text, ids) }
	m.cut(s.text, func(part section, token int) {
		if token >= 0 {
			ids = append(ids, token)
			return
		}
		part.first = part.first && s.first
		splitInto(t.split, part, words)
	})
	return ids
}

// Decode returns the text of ids. skipSpecial leaves special tokens out; ids that name no token are left out always.
// It equals what a [Decoder] gives out for the same ids.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	var b strings.Builder
	d := t.NewDecoder(skipSpecial)
	for _, id := range ids {
		b.WriteString(d.Next(id))
	}
	b.WriteString(d.Flush())
	return b.String()
}

// VocabSize is one more than the largest id.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Token returns the token of id as the file writes it, which for byte-level vocabularies is not text; false where there is none.
func (t *Tokenizer) Token(id int) (string, bool) {
	if id < 0 || id >= len(t.tokens) || !t.known[id] {
		return "", false
	}
	return t.tokens[id], true
}

// ID returns the id of a token as the file writes it.
func (t *Tokenizer) ID(token string) (int, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// IsSpecial tells whether id is a token that stands for no text of its own.
func (t *Tokenizer) IsSpecial(id int) bool { return id >= 0 && id < len(t.special) && t.special[id] }

// SpecialTokens returns the ids of all special tokens, ascending.
func (t *Tokenizer) SpecialTokens() []int {
	var ids []int
	for id, is := range t.special {
		if is {
			ids = append(ids, id)
		}
	}
	return ids
}

// Added returns what the post-processor puts before and after a text's ids.
func (t *Tokenizer) Added() (before, after []int) {
	return slices.Clone(t.prefix), slices.Clone(t.suffix)
}

// setToken records a token under an id, growing the tables; of equal tokens the first keeps the name. The caller has bounded id.
func (t *Tokenizer) setToken(id int, token string) {
	if n := id + 1 - len(t.tokens); n > 0 {
		t.tokens = append(t.tokens, make([]string, n)...)
		t.known = append(t.known, make([]bool, n)...)
		t.special = append(t.special, make([]bool, n)...)
	}
	t.tokens[id], t.known[id] = token, true
	if _, taken := t.ids[token]; !taken {
		t.ids[token] = id
	}
}
