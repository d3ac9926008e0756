package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"shoal/tokenizer/chat"
)

type renderCommand struct {
	Template string    `xor:"from" required:"" placeholder:"FILE" help:"Chat template (Jinja), such as a checkpoint's chat_template.jinja."`
	Model    string    `xor:"from" required:"" placeholder:"DIR" help:"Artifact or checkpoint whose own template to use, with its special tokens."`
	Now      time.Time `placeholder:"TIME" help:"Time that templates see, such as 2026-01-31T09:05:07Z (default: the clock's)."`
}

func (c *renderCommand) Help() string {
	return `One JSON object per line in: messages, and what else the template uses (tools, add_generation_prompt, bos_token ...).
One JSON string per line out, or an object with "error" where the template cannot render the input.

Example:

    echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' | p2p render --template chat_template.jinja`
}

func (c *renderCommand) Run() error {
	template, err := c.load()
	if err != nil {
		return err
	}
	if !c.Now.IsZero() {
		template = template.WithTime(func() time.Time { return c.Now })
	}
	return eachLine(os.Stdin, os.Stdout, func(line []byte) (any, error) {
		text, err := template.RenderJSON(line)
		if err != nil {
			return map[string]string{"error": err.Error()}, nil
		}
		return text, nil
	})
}

func (c *renderCommand) load() (*chat.Template, error) {
	if c.Model != "" {
		template, err := chat.FromConfig(c.modelFile("tokenizer_config.json"), c.modelFile("chat_template.jinja"), "")
		if err != nil {
			return nil, fmt.Errorf("--model %s: %w", c.Model, err)
		}
		return template, nil
	}
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return nil, fmt.Errorf("--template: %w", err)
	}
	template, err := chat.Parse(string(source))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Template, err)
	}
	return template, nil
}

// modelFile is a file of the model's folder, nil if it is not there: [chat.FromConfig] says what it misses.
func (c *renderCommand) modelFile(name string) []byte {
	data, err := os.ReadFile(filepath.Join(c.Model, name))
	if err != nil {
		return nil
	}
	return data
}
