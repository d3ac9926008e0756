// Package chat renders conversations into the text that a model was trained to continue, by the checkpoint's own chat template.
//
// Templates are Jinja2 programs from strangers; package jinja runs them as Hugging Face transformers does, bounded and without
// access to anything but their input. There are no built-in templates: a checkpoint without one has no chat format.
package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"shoal/tokenizer/chat/jinja"
)

// Template is a chat template. It does not change and may be rendered from several goroutines.
type Template struct {
	t       *jinja.Template
	special *jinja.Dict // the checkpoint's special tokens, which templates use by name: bos_token and so on
	now     func() time.Time
}

// Parse reads the text of a template. An error names the template's line.
func Parse(source string) (*Template, error) {
	t, err := jinja.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{t: t, special: jinja.NewDict(), now: time.Now}, nil
}

// WithTime returns the template with another clock for strftime_now.
func (t *Template) WithTime(now func() time.Time) *Template {
	c := *t
	c.now = now
	return &c
}

// Input is what a template renders.
type Input struct {
	Messages            json.RawMessage            // a list of objects with role and content, and what else the template knows
	Tools               json.RawMessage            // a list of function descriptions, empty for none
	AddGenerationPrompt bool                       // end with what begins the assistant's answer
	Extra               map[string]json.RawMessage // more variables: enable_thinking, reasoning_effort, documents, ...
}

// Render renders a conversation. An error wraps a *jinja.Error; where that says Raised, the template itself refused the
// conversation and its message is for the user.
func (t *Template) Render(in Input) (string, error) {
	vars := jinja.NewDict()
	for _, v := range []struct {
		name string
		json json.RawMessage
	}{{"messages", in.Messages}, {"tools", in.Tools}} {
		value, err := fromJSON(v.name, v.json)
		if err != nil {
			return "", err
		}
		vars.Set(v.name, value)
	}
	vars.Set("documents", nil)
	vars.Set("add_generation_prompt", in.AddGenerationPrompt)
	for n, raw := range in.Extra {
		value, err := fromJSON(n, raw)
		if err != nil {
			return "", err
		}
		vars.Set(n, value)
	}
	return t.render(vars)
}

// RenderJSON renders with the members of a JSON object as variables, and no others but the checkpoint's special tokens.
func (t *Template) RenderJSON(object []byte) (string, error) {
	v, err := jinja.FromJSON(object)
	if err != nil {
		return "", fmt.Errorf("chat template: input: %w", err)
	}
	vars, ok := v.(*jinja.Dict)
	if !ok {
		return "", errors.New("chat template: input: want a JSON object")
	}
	return t.render(vars)
}

func fromJSON(name string, raw json.RawMessage) (jinja.Value, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	v, err := jinja.FromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("chat template: input: %s: %w", name, err)
	}
	return v, nil
}

func (t *Template) render(vars *jinja.Dict) (string, error) {
	rendered, err := t.t.Render(jinja.Merge(t.special, vars), t.now())
	if err != nil {
		return "", fmt.Errorf("chat template: %w", err)
	}
	return rendered, nil
}
