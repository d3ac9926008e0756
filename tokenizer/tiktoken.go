package tokenizer

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
)

// KimiPattern is the splitting pattern of Kimi's tokenizer: runs of Han characters are words of their own.
var KimiPattern = wordPattern{han: true, cased: true, short: true, digits: 3}.regex()

// FromTiktoken makes a tokenizer of a tiktoken rank file: a line per token, its bytes in base64, a space, its rank, which is
// its id. Two neighbours merge if together they are a token, the lowest rank first; a word that is a token is not merged.
// special are the tokens outside the file, by spelling; pattern splits text into words, as in Rust's or Python's regular
// expressions.
func FromTiktoken(data []byte, special map[string]int, pattern string) (*Tokenizer, error) {
	t, err := fromTiktoken(data, special, pattern)
	if err != nil {
		return nil, fmt.Errorf("tiktoken file: %w", err)
	}
	return t, nil
}

func fromTiktoken(data []byte, special map[string]int, pattern string) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%d bytes: at most %d", len(data), maxFile)
	}
	t := &Tokenizer{ids: make(map[string]int)}
	ranks := make(map[string]int32) // by the token's bytes
	line := 0
	for rest := range bytes.Lines(data) {
		line++
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: want a token and its rank", line)
		}
		token, err := base64.StdEncoding.DecodeString(string(fields[0]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		id, err := strconv.Atoi(string(fields[1]))
		if err != nil || id < 0 || id >= maxTokens {
			return nil, fmt.Errorf("line %d: rank %q: want 0 to %d", line, fields[1], maxTokens-1)
		}
		if len(token) == 0 || len(token) > longestPiece {
			return nil, fmt.Errorf("line %d: token of %d bytes: want 1 to %d", line, len(token), longestPiece)
		}
		if _, twice := ranks[string(token)]; twice || t.has(id) {
			return nil, fmt.Errorf("line %d: token %q or rank %d appears twice", line, token, id)
		}
		ranks[string(token)] = int32(id)
		t.setToken(id, bytesToLetters(string(token)))
	}
	for b := range 256 {
		if _, ok := ranks[string([]byte{byte(b)})]; !ok {
			return nil, fmt.Errorf("no token for byte 0x%02x", b)
		}
	}
	if err := t.addSpecial(special); err != nil {
		return nil, err
	}
	vocab := make(map[string]int32, len(ranks))
	var merges []merge
	for token, id := range ranks {
		vocab[t.tokens[id]] = id
		for i := 1; i < len(token); i++ {
			left, ok1 := ranks[token[:i]]
			right, ok2 := ranks[token[i:]]
			if ok1 && ok2 {
				merges = append(merges, merge{left, right, id, uint32(id)})
			}
		}
	}
	if len(merges) > maxMerges {
		return nil, fmt.Errorf("%d ways to merge: at most %d", len(merges), maxMerges)
	}
	steps, err := splitSteps([]string{pattern})
	if err != nil {
		return nil, err
	}
	t.split = steps
	t.model = newBPE(vocab, merges)
	t.model.byBytes = true
	t.model.useWhole()
	t.decode = []decodeStep{func() decodeStage { return new(byteLevel) }}
	return t, nil
}

func (t *Tokenizer) has(id int) bool {
	_, ok := t.Token(id)
	return ok
}

// addSpecial adds special tokens that are matched in the text as they are spelled.
func (t *Tokenizer) addSpecial(special map[string]int) error {
	var added []addedToken
	for token, id := range special {
		if id < 0 || id >= maxTokens || t.has(id) {
			return fmt.Errorf("special token %q: its id %d is taken or not in 0 to %d", token, id, maxTokens-1)
		}
		if token == "" || len(token) > maxToken {
			return fmt.Errorf("special token of %d bytes: want 1 to %d", len(token), maxToken)
		}
		t.setToken(id, token)
		t.special[id] = true
		added = append(added, addedToken{id: id, content: token})
	}
	t.added.raw = newMatcher(added)
	return nil
}
