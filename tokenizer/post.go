package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

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
