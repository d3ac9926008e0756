package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"shoal/cmd/internal/setup"
	"shoal/rdrr/convert"
	"shoal/tokenizer"
)

type tokenizeCommand struct {
	Model   string `default:"demo" placeholder:"PATH" help:"Artifact, GGUF file, or any folder with a tokenizer.json."`
	Special bool   `negatable:"" default:"true" help:"Recognise added tokens such as <|im_start|> in the text; --no-special takes them as plain text."`
	Begin   bool   `help:"Also add what the tokenizer puts around a text, such as a beginning-of-text token."`
}

func (c *tokenizeCommand) Help() string {
	return `Example: echo '"Hello, world"' | p2p tokenize --model ~/models/qwen3`
}

// maxLine bounds one line of input.
const maxLine = 64 << 20

func (c *tokenizeCommand) Run() error {
	tok, err := c.load()
	if err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, maxLine)
	out := bufio.NewWriter(os.Stdout)
	for line := 1; in.Scan(); line++ {
		var text string
		if err := json.Unmarshal(in.Bytes(), &text); err != nil {
			_ = out.Flush()
			return fmt.Errorf("line %d: want a JSON string: %w", line, err)
		}
		encode := tok.Encode
		if !c.Special {
			encode = tok.EncodePlain
		}
		ids := encode(text, c.Begin)
		if ids == nil {
			ids = []int{}
		}
		encoded, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", encoded); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil && err != io.EOF {
		return fmt.Errorf("reading standard input: %w", err)
	}
	return out.Flush()
}

func (c *tokenizeCommand) load() (*tokenizer.Tokenizer, error) {
	if convert.IsGGUF(c.Model) {
		return setup.GGUFTokenizer(c.Model)
	}
	if data, err := os.ReadFile(filepath.Join(c.Model, "tokenizer.json")); err == nil {
		tok, err := tokenizer.Load(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(c.Model, "tokenizer.json"), err)
		}
		return tok, nil
	}
	artifact, err := setup.OpenModel(c.Model)
	if err != nil {
		return nil, err
	}
	defer artifact.Close()
	return setup.Tokenizer(artifact)
}
