package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"shoal/cmd/internal/setup"
	"shoal/model"
	"shoal/rdrr/convert/safetensors"
)

// greedyText is a greedy continuation as a JSON file, in the form that tools/demo/train.py writes.
type greedyText struct {
	Prompt []int     `json:"prompt_ids"`
	Greedy []int     `json:"greedy_ids"`
	Gaps   []float32 `json:"greedy_gap"`
}

// readReference reads a reference file. A safetensors file without a greedy continuation takes the one of a reference.json
// beside it, if that has the same prompt; a JSON file takes its logits from the safetensors file of the same name.
func readReference(path string) (*model.Reference, error) {
	tensors, text := path, filepath.Join(filepath.Dir(path), "reference.json")
	if strings.EqualFold(filepath.Ext(path), ".json") {
		tensors, text = strings.TrimSuffix(path, filepath.Ext(path))+".safetensors", path
	}
	r, err := readTensors(tensors)
	if err != nil {
		return nil, fmt.Errorf("--reference: %w", err)
	}
	if len(r.Greedy) > 0 && path != text {
		return r, nil
	}
	data, err := os.ReadFile(text)
	if err != nil {
		if path == text || !os.IsNotExist(err) {
			return nil, fmt.Errorf("--reference: %w", err)
		}
		return r, nil
	}
	var g greedyText
	if err := json.Unmarshal(data, &g); err != nil {
		return nil, fmt.Errorf("--reference: %s: %w", text, err)
	}
	switch same := slices.Equal(g.Prompt, r.Inputs); {
	case !same && path == text:
		return nil, fmt.Errorf("--reference: %s continues another prompt than the input_ids of %s", text, tensors)
	case !same:
		return r, nil
	case len(g.Gaps) != 0 && len(g.Gaps) != len(g.Greedy):
		return nil, fmt.Errorf("--reference: %s: %d greedy_ids with %d gaps", text, len(g.Greedy), len(g.Gaps))
	}
	r.Greedy, r.Gaps = g.Greedy, g.Gaps
	return r, nil
}

func readTensors(path string) (*model.Reference, error) {
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var readErr error
	r, err := model.ReadReference(func(name string) []float32 {
		t := file.Tensor(name)
		if t == nil {
			return nil
		}
		values, err := values(t)
		if err != nil && readErr == nil {
			readErr = err
		}
		return values
	})
	if readErr != nil {
		err = readErr
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func values(t *safetensors.Tensor) ([]float32, error) {
	ints, err := t.Ints()
	if err != nil {
		return t.Floats()
	}
	out := make([]float32, len(ints))
	for i, v := range ints {
		out[i] = float32(v)
	}
	return out, nil
}

// Size of the reference that an artifact is for itself.
const (
	ownInputs = 40
	ownGreedy = 24
)

// ownReference runs the artifact with its weights decoded to float32, on the CPU, over a fixed choice of tokens.
func ownReference(ctx context.Context, engine *setup.Engine, threads int) (*model.Reference, error) {
	decoded, err := setup.OpenDecoded(ctx, engine.Model, threads)
	if err != nil {
		return nil, fmt.Errorf("the artifact's own weights in float32: %w", err)
	}
	defer decoded.Close()
	spec := engine.Trunk.Spec()
	n := min(ownInputs, max(spec.MaxPositions-ownGreedy, 1))
	rng := rand.New(rand.NewPCG(1, 2))
	inputs := make([]int, n)
	for i := range inputs {
		inputs[i] = rng.IntN(spec.Vocab)
	}
	return model.Capture(ctx, decoded.Subject(), inputs, min(ownGreedy, spec.MaxPositions-n))
}
