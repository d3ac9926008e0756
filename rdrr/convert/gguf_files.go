package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"shoal/rdrr/convert/gguf"
)

// VocabularyFile holds the tokenizer of a model that came from a GGUF file: a JSON object with the values of all metadata keys
// that begin with tokenizer.ggml., under the rest of their names (model, pre, tokens, token_type, scores, merges, bos_token_id,
// add_bos_token and so on).
const VocabularyFile = "vocabulary.json"

const (
	vocabularyPrefix = "tokenizer.ggml."
	templateKey      = "tokenizer.chat_template"
	hubTokenizerKey  = "tokenizer.huggingface.json"
)

// GGUFFiles makes the tokenizer and generation files of a GGUF file of any architecture, with weights or without.
func GGUFFiles(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	part, err := gguf.Open(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return (&ggufModel{name: filepath.Base(path), meta: part.Metadata}).Files()
}

// Files makes the tokenizer and generation files of the metadata.
func (g *ggufModel) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	vocabulary := map[string]any{}
	for _, key := range g.meta.Keys() {
		name, ok := strings.CutPrefix(key, vocabularyPrefix)
		if !ok {
			continue
		}
		v, _ := g.meta.Value(key)
		if err := representable(v); err != nil {
			return nil, fmt.Errorf("%s: GGUF key %q: %w", g.name, key, err)
		}
		vocabulary[name] = v
	}
	hub, err := g.meta.String(hubTokenizerKey)
	if err == nil { // the whole tokenizer, of which the vocabulary is a part
		files["tokenizer.json"] = []byte(hub)
	} else if vocabulary["tokens"] != nil {
		b, err := json.Marshal(vocabulary)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", VocabularyFile, err)
		}
		files[VocabularyFile] = b
	}
	if text, err := g.meta.String(templateKey); err == nil {
		files["chat_template.jinja"] = []byte(text)
	}
	generation := config{}
	g.tokenIDs(generation)
	if len(generation) > 0 {
		b, err := json.Marshal(generation)
		if err != nil {
			return nil, err
		}
		files["generation_config.json"] = b
	}
	return files, nil
}

// representable refuses what JSON would not give back unchanged.
func representable(v any) error {
	switch v := v.(type) {
	case []string:
		for i, s := range v {
			if !utf8.ValidString(s) {
				return fmt.Errorf("entry %d, %q, is not UTF-8", i, s)
			}
		}
	case []float32:
		for i, f := range v {
			if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
				return fmt.Errorf("entry %d is %v", i, f)
			}
		}
	}
	return nil
}

// tokenIDs adds the ids that begin and end a text, where the file names them.
func (g *ggufModel) tokenIDs(c config) {
	if id, err := g.meta.Int(vocabularyPrefix + "bos_token_id"); err == nil {
		c["bos_token_id"] = id
	}
	if ids := g.stopTokens(); len(ids) > 0 {
		c["eos_token_id"] = ids
	}
}

// Token types of tokenizer.ggml.token_type.
const (
	controlToken     = 3
	userDefinedToken = 4
)

// stops are the texts of tokens that end a turn in published models. Files name only one or two of them by number.
var stops = map[string]bool{
	"</s>": true, "<|endoftext|>": true, "<|end_of_text|>": true, "<|eot_id|>": true, "<|eom_id|>": true, "<|im_end|>": true,
	"<|end|>": true, "<end_of_turn>": true, "<|return|>": true, "<|call|>": true, "<｜end▁of▁sentence｜>": true, "[EOS]": true,
	"[EOT]": true, "<|user|>": true, "<|observation|>": true,
}

// stopTokens lists the ids that end a text: those that the file names, and control tokens known to.
func (g *ggufModel) stopTokens() []int {
	var ids []int
	for _, key := range []string{"eos_token_id", "eot_token_id", "eom_token_id", "eos_token_ids"} {
		if id, err := g.meta.Int(vocabularyPrefix + key); err == nil {
			ids = append(ids, id)
		} else if many, err := g.meta.Ints(vocabularyPrefix + key); err == nil {
			ids = append(ids, many...)
		}
	}
	tokens, _ := g.meta.Strings(vocabularyPrefix + "tokens")
	types, _ := g.meta.Ints(vocabularyPrefix + "token_type")
	harmony := slices.Contains(tokens, "<|return|>") && slices.Contains(tokens, "<|channel|>")
	glm := slices.Contains(tokens, "[gMASK]")
	for id, text := range tokens {
		if !stops[text] || id >= len(types) || types[id] != controlToken && types[id] != userDefinedToken {
			continue
		}
		if harmony && text == "<|end|>" || !glm && (text == "<|user|>" || text == "<|observation|>") {
			continue // there it ends a message within a turn, or begins one
		}
		ids = append(ids, id)
	}
	var out []int
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
