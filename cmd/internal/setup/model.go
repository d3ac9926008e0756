// Package setup turns command-line flags into the parts of the program: a model, a device, a swarm, a session. It is the
// only place where model, router, p2p and the devices meet.
package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"shoal/cmd/internal/demomodel"
	"shoal/model"
	"shoal/rdrr"
	"shoal/tokenizer/chat"
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

// StopTokens are the ids that end a text: those of generation_config.json where the artifact has one, else the architecture's.
func StopTokens(m *rdrr.Model, spec *model.Spec) ([]int, error) {
	data, err := m.File("generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return spec.EOS, nil
	}
	if err != nil {
		return nil, err
	}
	ids, err := chat.StopTokens(data)
	if err == nil && ids == nil {
		return spec.EOS, nil
	}
	return ids, err
}
