package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"shoal/cmd/internal/console"
	"shoal/model"
	"shoal/rdrr/convert"
)

type convertCommand struct {
	Input    string `required:"" placeholder:"DIR" help:"Hub checkpoint: config.json, safetensors, tokenizer files."`
	Output   string `required:"" placeholder:"DIR" help:"Folder for the artifact; must not exist or be empty."`
	Quantize string `enum:"q4_k_m,q8_0,f16,none" default:"q4_k_m" help:"Number format of the weights: q4_k_m, q8_0, f16, or none to keep what the checkpoint has."`
	Replace  bool   `help:"Replace an artifact that is already there."`
}

func (c *convertCommand) Help() string {
	return "Example: p2p convert --input ~/Qwen3-30B-A3B --output ~/models/qwen3 --quantize q4_k_m"
}

func (c *convertCommand) Run(ctx context.Context) error {
	config, err := os.ReadFile(filepath.Join(c.Input, "config.json"))
	if err != nil {
		return fmt.Errorf("--input: %w", err)
	}
	spec, err := model.Parse(json.RawMessage(config))
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(c.Input, "config.json"), err)
	}
	for _, warning := range spec.Warnings {
		console.Warn("%s", warning)
	}
	progress := console.NewProgress("converting", console.Count("weights"))
	report, err := convert.Run(ctx, convert.Options{
		Input: c.Input, Output: c.Output, Quantize: c.Quantize, Replace: c.Replace,
		Config: config, Tensors: spec.Tensors(), MoE: spec.MoE(),
		Progress: func(p convert.Progress) { progress.Set(p.Done, p.Total, p.Tensor) },
	})
	progress.Done()
	if err != nil {
		return err
	}
	for _, name := range report.Skipped {
		console.Warn("%s: tensor %s is not used by the model", c.Input, name)
	}
	fmt.Printf("%s: %d tensors, %.1f M parameters, %s (%.2f bits per weight)\nmodel %s\n", c.Output, report.Tensors,
		float64(report.Parameters)/1e6, console.Bytes(report.Bytes), report.BitsPerWeight(), report.Digest)
	return nil
}
