package tokenizer

import (
	"fmt"
)

type addedJSON struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
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
