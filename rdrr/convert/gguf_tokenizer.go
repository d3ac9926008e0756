package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// maxVocabulary bounds the ids of a tokenizer.json.
const maxVocabulary = 1 << 22

// hubFile is what is read of tokenizer.json.
type hubFile struct {
	Model struct {
		Type         string            `json:"type"`
		Vocab        map[string]int    `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"`
		ByteFallback bool              `json:"byte_fallback"`
	} `json:"model"`
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer   json.RawMessage `json:"normalizer"`
	PreTokenizer json.RawMessage `json:"pre_tokenizer"`
	Post         json.RawMessage `json:"post_processor"`
}

// splitNames are llama.cpp's names of how a text is split before merging, by a part of the expression that only one has. The
// first match wins.
var splitNames = []struct{ part, name string }{
	{`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|`, "gpt-4o"},
	{`\p{Han}`, "kimi-k2"},
	{`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|`, "llama-bpe"},
	{`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|`, "qwen2"},
	{`[^\r\n\p{L}\p{N}]?((?=[\p{L}])([^a-z]))*((?=[\p{L}])([^A-Z]))+`, "tekken"},
	{`\p{N}{1,3}`, "deepseek-v3"},
}

// Token types of tokenizer.ggml.token_type beside those of gguf_files.go.
const (
	normalToken  = 1
	unknownToken = 2
	unusedToken  = 5
	byteToken    = 6
)

// hubTokenizer writes the vocabulary of a tokenizer.json. The whole file goes in too, so that nothing of it is lost.
func (e *exporter) hubTokenizer(raw []byte) error {
	var hub hubFile
	if err := json.Unmarshal(raw, &hub); err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	if err := e.meta.Set(hubTokenizerKey, string(raw)); err != nil {
		return err
	}
	pre := hub.split()
	if hub.Model.Type != "BPE" || pre == "" && !hub.Model.ByteFallback {
		e.report.Warnings = append(e.report.Warnings,
			"llama.cpp has no name for how tokenizer.json splits texts: the file has it as tokenizer.huggingface.json alone")
		return e.meta.Set(vocabularyPrefix+"model", "none")
	}
	tokens, types, err := hub.tokens(int(e.vocab()))
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	merges, err := hub.merges()
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	set := func(name string, v any) {
		err = errors.Join(err, e.meta.Set(vocabularyPrefix+name, v))
	}
	if hub.Model.ByteFallback {
		set("model", "llama")
		set("pre", "default")
		set("scores", scores(tokens, merges))
		set("add_space_prefix", strings.Contains(string(hub.Normalizer), `"Prepend"`))
	} else {
		set("model", "gpt2")
		set("pre", pre)
		set("merges", merges)
	}
	set("tokens", tokens)
	set("token_type", types)
	if err != nil {
		return err
	}
	return e.specialTokens(hub)
}

// vocab is the number of rows of the embedding, which may exceed the tokenizer's.
func (e *exporter) vocab() uint32 {
	n, _ := e.o.Keys["vocab_size"].(uint32)
	return n
}

// split names how texts are split, "" if llama.cpp has no name for it.
func (h *hubFile) split() string {
	var found []string
	collect(h.PreTokenizer, "Regex", &found)
	all := strings.Join(found, "\n")
	for _, s := range splitNames {
		if strings.Contains(all, s.part) {
			return s.name
		}
	}
	if all == "" && strings.Contains(string(h.PreTokenizer), `"ByteLevel"`) {
		return "gpt-2" // the expression that ByteLevel has built in
	}
	return ""
}

// collect lists the texts that stand under a key anywhere in a JSON value.
func collect(raw json.RawMessage, key string, found *[]string) {
	var object map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(raw, &object) == nil {
		for k, v := range object {
			var text string
			if k == key && json.Unmarshal(v, &text) == nil {
				*found = append(*found, text)
			}
			collect(v, key, found)
		}
	} else if json.Unmarshal(raw, &list) == nil {
		for _, v := range list {
			collect(v, key, found)
		}
	}
}

// tokens lists all n tokens with their types. Ids without a token get a name of their own and are marked unused.
func (h *hubFile) tokens(n int) (tokens []string, types []int32, err error) {
	for _, id := range h.Model.Vocab {
		n = max(n, id+1)
	}
	for _, a := range h.Added {
		n = max(n, a.ID+1)
	}
	if n > maxVocabulary {
		return nil, nil, fmt.Errorf("%d tokens: the bound is %d", n, maxVocabulary)
	}
	tokens, types = make([]string, n), make([]int32, n)
	for i := range tokens {
		tokens[i], types[i] = fmt.Sprintf("[PAD%d]", i), unusedToken
	}
	for text, id := range h.Model.Vocab {
		if id < 0 {
			return nil, nil, fmt.Errorf("token %q has the id %d", text, id)
		}
		tokens[id], types[id] = text, normalToken
		if h.Model.ByteFallback && len(text) == 6 && strings.HasPrefix(text, "<0x") && text[5] == '>' {
			types[id] = byteToken
		}
	}
	for _, a := range h.Added {
		if a.ID < 0 {
			return nil, nil, fmt.Errorf("added token %q has the id %d", a.Content, a.ID)
		}
		tokens[a.ID], types[a.ID] = a.Content, userDefinedToken
		if a.Special {
			types[a.ID] = controlToken
		}
		if a.Content == "<unk>" && h.Model.ByteFallback {
			types[a.ID] = unknownToken
		}
	}
	return tokens, types, nil
}

// merges lists the merges in order, as "left right".
func (h *hubFile) merges() ([]string, error) {
	out := make([]string, len(h.Model.Merges))
	for i, raw := range h.Model.Merges {
		var pair []string
		switch {
		case json.Unmarshal(raw, &out[i]) == nil:
		case json.Unmarshal(raw, &pair) == nil && len(pair) == 2:
			out[i] = pair[0] + " " + pair[1]
		default:
			return nil, fmt.Errorf("merge %d is neither a text nor a pair", i)
		}
	}
	return out, nil
}

// scores orders the tokens of a SentencePiece vocabulary as its merges do: a pair is merged the sooner, the higher the score of
// what it becomes.
func scores(tokens []string, merges []string) []float32 {
	rank := make(map[string]int, len(merges))
	for i, m := range merges {
		left, right, _ := strings.Cut(m, " ")
		if _, ok := rank[left+right]; !ok {
			rank[left+right] = i
		}
	}
	out := make([]float32, len(tokens))
	for i, t := range tokens {
		if r, ok := rank[t]; ok {
			out[i] = -float32(r)
		} else if len([]rune(t)) > 1 {
			out[i] = -1e6
		}
	}
	return out
}

// specialTokens writes the ids that begin and end a text, and whether they are added.
func (e *exporter) specialTokens(hub hubFile) error {
	var ids struct {
		BOS json.RawMessage `json:"bos_token_id"`
		EOS json.RawMessage `json:"eos_token_id"`
		PAD json.RawMessage `json:"pad_token_id"`
	}
	raw, err := e.o.Model.File("generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		raw, err = e.o.Model.Config(), nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &ids); err != nil {
		return fmt.Errorf("reading the special tokens: %w", err)
	}
	for _, x := range []struct {
		name string
		id   json.RawMessage
	}{{"bos_token_id", ids.BOS}, {"eos_token_id", ids.EOS}, {"padding_token_id", ids.PAD}} {
		if id, ok := firstID(x.id); ok {
			err = errors.Join(err, e.meta.Set(vocabularyPrefix+x.name, id))
		}
	}
	adds := false
	if bos, ok := firstID(ids.BOS); ok {
		var around []string
		collect(hub.Post, "id", &around)
		for _, a := range hub.Added {
			adds = adds || a.ID == int(bos) && slices.Contains(around, a.Content)
		}
	}
	return errors.Join(err, e.meta.Set(vocabularyPrefix+"add_bos_token", adds))
}

func firstID(raw json.RawMessage) (uint32, bool) {
	var one uint32
	var many []uint32
	if len(raw) == 0 || string(raw) == "null" {
		return 0, false
	}
	if json.Unmarshal(raw, &one) == nil {
		return one, true
	}
	if json.Unmarshal(raw, &many) == nil && len(many) > 0 {
		return many[0], true
	}
	return 0, false
}
