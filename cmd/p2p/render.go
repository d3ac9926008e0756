package main

import (
	"fmt"
	"os"
	"time"

	"shoal/tokenizer/chat"
)

type renderCommand struct {
	Template string    `required:"" placeholder:"FILE" help:"Chat template (Jinja), such as a checkpoint's chat_template.jinja."`
	Now      time.Time `placeholder:"TIME" help:"Time that templates see, such as 2026-01-31T09:05:07Z (default: the clock's)."`
}

func (c *renderCommand) Help() string {
	return `One JSON object per line in: messages, and what else the template uses (tools, add_generation_prompt, bos_token ...).
One JSON string per line out, or an object with "error" where the template cannot render the input.

Example:

    echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' | p2p render --template chat_template.jinja`
}

func (c *renderCommand) Run() error {
	source, err := os.ReadFile(c.Template)
	if err != nil {
		return fmt.Errorf("--template: %w", err)
	}
	template, err := chat.Parse(string(source))
	if err != nil {
		return fmt.Errorf("%s: %w", c.Template, err)
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
