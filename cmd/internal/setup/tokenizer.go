package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/tokenizer"
)

// Tokenizer loads the artifact's tokenizer. Its error wraps [fs.ErrNotExist] if it has none.
func Tokenizer(m *rdrr.Model) (*tokenizer.Tokenizer, error) { return ReadTokenizer(m.File) }

// ReadTokenizer loads a tokenizer from the files of a model: tokenizer.json, or the vocabulary of a GGUF file, or a
// tiktoken.model. read returns a file by its name.
func ReadTokenizer(read func(name string) ([]byte, error)) (*tokenizer.Tokenizer, error) {
	for _, kind := range []struct {
		file string
		load func(data []byte) (*tokenizer.Tokenizer, error)
	}{
		{"tokenizer.json", tokenizer.Load},
		{convert.VocabularyFile, fromVocabulary},
		{"tiktoken.model", func(data []byte) (*tokenizer.Tokenizer, error) { return fromRanks(data, read) }},
	} {
		data, err := read(kind.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		tok, err := kind.load(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.file, err)
		}
		return tok, nil
	}
	return nil, fmt.Errorf("no tokenizer.json, %s or tiktoken.model: without one the model takes token ids only (--prompt-ids): %w",
		convert.VocabularyFile, fs.ErrNotExist)
}

// reserved is the number of ids after the ranks that a Kimi tokenizer sets aside for special tokens.
const reserved = 256

// fromRanks loads a tiktoken file as Kimi publishes it: the ids after the ranks are the special tokens of
// tokenizer_config.json's added_tokens_decoder, or else <|reserved_token_ID|>.
func fromRanks(data []byte, read func(string) ([]byte, error)) (*tokenizer.Tokenizer, error) {
	var config struct {
		Added map[string]struct {
			Content string `json:"content"`
		} `json:"added_tokens_decoder"`
	}
	raw, err := read("tokenizer_config.json")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	first := len(bytes.Fields(data)) / 2 // two words a line
	special := map[string]int{}
	for id := first; id < first+reserved; id++ {
		if added, ok := config.Added[strconv.Itoa(id)]; ok {
			special[added.Content] = id
			continue
		}
		special[fmt.Sprintf("<|reserved_token_%d|>", id)] = id
	}
	return tokenizer.FromTiktoken(data, special, tokenizer.KimiPattern)
}
