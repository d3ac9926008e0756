package setup

import (
	"encoding/json"
	"fmt"
	"io/fs"

	"shoal/rdrr/convert"
	"shoal/tokenizer"
)

// GGUFTokenizer loads the tokenizer of a GGUF file, which need not hold any weights.
func GGUFTokenizer(path string) (*tokenizer.Tokenizer, error) {
	files, err := convert.GGUFFiles(path)
	if err != nil {
		return nil, err
	}
	return ReadTokenizer(func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("%s: %s: %w", path, name, fs.ErrNotExist)
	})
}

// fromVocabulary loads the tokenizer metadata of a GGUF file.
func fromVocabulary(data []byte) (*tokenizer.Tokenizer, error) {
	var v struct {
		Kind    string    `json:"model"`
		Pre     string    `json:"pre"`
		Tokens  []string  `json:"tokens"`
		Types   []int     `json:"token_type"`
		Scores  []float32 `json:"scores"`
		Merges  []string  `json:"merges"`
		BOS     *int      `json:"bos_token_id"`
		EOS     *int      `json:"eos_token_id"`
		Unknown *int      `json:"unknown_token_id"`
		AddBOS  *bool     `json:"add_bos_token"`
		AddEOS  *bool     `json:"add_eos_token"`
		Space   *bool     `json:"add_space_prefix"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return tokenizer.FromVocab(tokenizer.Vocab{
		Kind: v.Kind, Pre: v.Pre, Tokens: v.Tokens, Types: v.Types, Scores: v.Scores, Merges: v.Merges,
		BOS: orNone(v.BOS), EOS: orNone(v.EOS), Unknown: orNone(v.Unknown), AddBOS: v.AddBOS, AddEOS: v.AddEOS, AddSpacePrefix: v.Space,
	})
}

func orNone(id *int) int {
	if id == nil {
		return -1
	}
	return *id
}
