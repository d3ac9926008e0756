// Package setup turns command-line flags into the parts of the program: a model, a device, a swarm, a session. It is the
// only place where model, router, p2p and the devices meet.
package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/cmd/internal/demomodel"
	"shoal/model"
	"shoal/rdrr"
	"shoal/tokenizer"
)

// DemoModel is the name of the model that is embedded in the program.
const DemoModel = "demo"

// OpenModel opens the artifact in folder dir, or the embedded model if dir is [DemoModel] and no folder of that name exists.
func OpenModel(dir string) (*rdrr.Model, error) {
	info, err := os.Stat(dir)
	switch {
	case err != nil && dir == DemoModel:
		return rdrr.Open(demomodel.FS())
	case err != nil:
		return nil, fmt.Errorf("model: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("model %s is a file: want the folder of an artifact (p2p convert makes one)", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "manifest.json")); os.IsNotExist(err) {
		if _, hub := os.Stat(filepath.Join(dir, "config.json")); hub == nil {
			return nil, fmt.Errorf("model %s is a hub checkpoint, not an artifact: convert it first (p2p convert --input %s --output FOLDER)", dir, dir)
		}
		return nil, fmt.Errorf("model %s: no manifest.json in it, so it is not an artifact (p2p convert makes one)", dir)
	}
	return rdrr.OpenDir(dir)
}

// Tokenizer loads the artifact's tokenizer.json, or the vocabulary that it has in its place if it was a GGUF file.
func Tokenizer(m *rdrr.Model) (*tokenizer.Tokenizer, error) {
	data, err := m.File("tokenizer.json")
	if errors.Is(err, fs.ErrNotExist) {
		if tok, err := vocabularyTokenizer(m); !errors.Is(err, fs.ErrNotExist) {
			return tok, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w (without it the model takes token ids only)", err)
	}
	tok, err := tokenizer.Load(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return tok, nil
}

// StopTokens are the ids that end a text: those of generation_config.json where the artifact has one, else the architecture's.
func StopTokens(m *rdrr.Model, spec *model.Spec) ([]int, error) {
	data, err := m.File("generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return spec.EOS, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("generation_config.json: %w", err)
	}
	if len(config.EOS) == 0 || string(config.EOS) == "null" {
		return spec.EOS, nil
	}
	var many []int
	if err := json.Unmarshal(config.EOS, &many); err == nil {
		return many, nil
	}
	var one int
	if err := json.Unmarshal(config.EOS, &one); err != nil {
		return nil, fmt.Errorf("generation_config.json: eos_token_id %s: want a token id or a list of them", config.EOS)
	}
	return []int{one}, nil
}
