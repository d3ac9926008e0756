package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	return `Example:

    echo '"Hello, world"' | p2p tokenize --model ~/models/qwen3`
}

func (c *tokenizeCommand) Run() error {
	tok, err := c.load()
	if err != nil {
		return err
	}
	encode := tok.Encode
	if !c.Special {
		encode = tok.EncodePlain
	}
	return eachLine(os.Stdin, os.Stdout, func(line []byte) (any, error) {
		var text string
		if err := json.Unmarshal(line, &text); err != nil {
			return nil, fmt.Errorf("want a JSON string: %w", err)
		}
		ids := encode(text, c.Begin)
		if ids == nil {
			ids = []int{}
		}
		return ids, nil
	})
}

func (c *tokenizeCommand) load() (*tokenizer.Tokenizer, error) {
	if convert.IsGGUF(c.Model) {
		return setup.GGUFTokenizer(c.Model)
	}
	tok, err := setup.ReadTokenizer(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(c.Model, name)) })
	if !errors.Is(err, fs.ErrNotExist) {
		return tok, err
	}
	artifact, err := setup.OpenModel(c.Model)
	if err != nil {
		return nil, err
	}
	defer artifact.Close()
	return setup.Tokenizer(artifact)
}
