package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
)

// ErrNone is what [FromConfig] wraps for a checkpoint without a chat template.
var ErrNone = errors.New("the checkpoint has no chat template")

// configJSON is the part of tokenizer_config.json that chat needs.
type configJSON struct {
	ChatTemplate json.RawMessage `json:"chat_template"` // a string, or a list of named ones
	Extra        json.RawMessage `json:"extra_special_tokens"`
}

// specialNames are the members of tokenizer_config.json that hold a special token.
var specialNames = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// FromConfig reads a checkpoint's template: chat_template.jinja if file is not empty, else the chat_template of
// tokenizer_config.json, of several the one named name, or "default" if name is "". Templates use the special tokens
// that the configuration names.
func FromConfig(tokenizerConfig, file []byte, name string) (*Template, error) {
	var config configJSON
	members := make(map[string]json.RawMessage)
	if len(tokenizerConfig) > 0 {
		if err := errors.Join(json.Unmarshal(tokenizerConfig, &config), json.Unmarshal(tokenizerConfig, &members)); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	source := string(file)
	if len(file) == 0 || name != "" {
		named, err := config.template(name)
		switch {
		case err == nil:
			source = named
		case len(file) == 0:
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	t, err := Parse(source)
	if err != nil {
		return nil, err
	}
	for _, n := range specialNames {
		token, err := tokenText(members[n])
		if err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %s: %w", n, err)
		}
		if token != "" {
			t.special.Set(n, token)
		}
	}
	var extra map[string]json.RawMessage // newer files name more tokens; older ones have a list of names here
	if json.Unmarshal(config.Extra, &extra) == nil {
		for n, raw := range extra {
			if token, err := tokenText(raw); err == nil && token != "" {
				t.special.Set(n, token)
			}
		}
	}
	return t, nil
}

// template picks a template by name.
func (c *configJSON) template(name string) (string, error) {
	if len(c.ChatTemplate) == 0 || string(c.ChatTemplate) == "null" {
		return "", ErrNone
	}
	var one string
	if json.Unmarshal(c.ChatTemplate, &one) == nil {
		return one, nil
	}
	var several []struct{ Name, Template string }
	if err := json.Unmarshal(c.ChatTemplate, &several); err != nil {
		return "", fmt.Errorf("chat_template: want a text or a list of named ones: %w", err)
	}
	if name == "" {
		name = "default"
	}
	var names []string
	for _, t := range several {
		if t.Name == name {
			return t.Template, nil
		}
		names = append(names, t.Name)
	}
	sort.Strings(names)
	return "", fmt.Errorf("chat_template: none is named %q, there are %q: %w", name, names, ErrNone)
}

// tokenText reads a token: its text, or an object with the text as content.
func tokenText(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var token string
	if json.Unmarshal(raw, &token) == nil {
		return token, nil
	}
	var object struct{ Content *string }
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", err
	}
	if object.Content == nil {
		return "", errors.New("want a text or an object with its content")
	}
	return *object.Content, nil
}

// StopTokens reads the ids that end an answer from generation_config.json (eos_token_id: an id or a list of ids).
func StopTokens(generationConfig []byte) ([]int, error) {
	var config struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(generationConfig, &config); err != nil {
		return nil, fmt.Errorf("generation_config.json: %w", err)
	}
	if len(config.EOS) == 0 || string(config.EOS) == "null" {
		return nil, nil
	}
	var id int
	if json.Unmarshal(config.EOS, &id) == nil {
		return []int{id}, nil
	}
	var ids []int
	if err := json.Unmarshal(config.EOS, &ids); err != nil {
		return nil, fmt.Errorf("generation_config.json: eos_token_id: want an id or a list of ids: %w", err)
	}
	return ids, nil
}
