package main

import (
	"context"
	"path/filepath"
	"testing"

	"shoal/cmd/internal/setup"
	"shoal/rdrr/quant"
)

func TestSynth(t *testing.T) {
	command := synthCommand{Arch: "gemma-3-1b", Layers: 1, Quantize: "q4_0", Output: filepath.Join(t.TempDir(), "gemma"), Seed: 3}
	if err := command.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	m, err := setup.OpenModel(command.Output)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.VerifyAll(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if x, ok := m.Manifest().Tensor("model.layers.0.mlp.up_proj.weight"); !ok || x.Type != quant.Q4_0 || x.Shape[1] != 1152 {
		t.Errorf("up projection %+v", x)
	}
	for _, wrong := range []synthCommand{
		{Arch: "gpt-5", Quantize: "q8_0"}, {Arch: "gemma-3-1b", Experts: 4, Quantize: "q8_0"}, {Arch: "gemma-3-1b", Quantize: "q3_k"},
		{Arch: "gemma-3-1b", Layers: -1, Quantize: "q8_0"}, {Arch: "gemma-3-1b", Layers: 5000, Quantize: "q8_0"},
	} {
		wrong.Output = filepath.Join(t.TempDir(), "wrong")
		if err := wrong.Run(context.Background()); err == nil {
			t.Errorf("%+v: error %v", wrong, err)
		}
	}
}
