package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"shoal/cmd/internal/console"
	"shoal/model"
	"shoal/rdrr/convert"
)

type convertCommand struct {
	Input    string `required:"" placeholder:"PATH" help:"Hub checkpoint (config.json, safetensors, tokenizer files) or GGUF file; with --to gguf an artifact."`
	Output   string `required:"" placeholder:"PATH" help:"Folder for the artifact, which must not exist or be empty; with --to gguf the file to write."`
	To       string `enum:"rdrr,gguf" default:"rdrr" help:"What to write: rdrr, an artifact with one shard per expert, or gguf, one file for other programs."`
	Quantize string `enum:"auto,q4_k_m,q8_0,f16,none" default:"auto" help:"Number format of the weights: q4_k_m, q8_0, f16, or none to keep what is there. auto is q4_k_m for a hub checkpoint, none from and to GGUF."`
	Replace  bool   `help:"Replace an artifact or file that is already there."`
}

func (c *convertCommand) Help() string {
	return `Examples:

    p2p convert --input ~/Qwen3-30B-A3B --output ~/models/qwen3 --quantize q4_k_m
    p2p convert --input qwen3.gguf --output ~/models/qwen3
    p2p convert --to gguf --input ~/models/qwen3 --output qwen3.gguf`
}

func (c *convertCommand) Run(ctx context.Context) error {
	if c.To == "gguf" {
		return c.writeGGUF(ctx)
	}
	options := convert.Options{Input: c.Input, Output: c.Output, Quantize: c.scheme("q4_k_m"), Replace: c.Replace}
	if err := c.describe(&options); err != nil {
		return err
	}
	if options.Source != nil {
		defer options.Source.Close()
	}
	return c.convert(ctx, options)
}

// scheme is the number format asked for, or the one that auto means.
func (c *convertCommand) scheme(auto string) string {
	if c.Quantize == "auto" {
		return auto
	}
	return c.Quantize
}

// describe opens a GGUF file, or reads the configuration of a hub checkpoint.
func (c *convertCommand) describe(o *convert.Options) error {
	if !convert.IsGGUF(c.Input) {
		config, err := convert.ReadConfig(c.Input)
		if err != nil {
			return fmt.Errorf("--input %s is no GGUF file and no hub checkpoint: %w", c.Input, err)
		}
		o.Config = config
		return nil
	}
	source, err := convert.OpenGGUF(c.Input)
	if err != nil {
		return err
	}
	o.Source, o.Config, o.Quantize = source, source.Config(), c.scheme("none")
	return nil
}

// convert writes the artifact that o describes but for the architecture, which follows from the configuration.
func (c *convertCommand) convert(ctx context.Context, o convert.Options) error {
	spec, err := parseConfig(o.Config, c.Input)
	if err != nil {
		return err
	}
	o.Tensors, o.MoE = spec.Tensors(), spec.MoE()
	report, err := runConversion(ctx, o, "converting")
	if err != nil {
		return err
	}
	for _, name := range report.Skipped {
		console.Warn("%s: tensor %s is not used by the model", c.Input, name)
	}
	return nil
}

// parseConfig reads a configuration and prints what it does not understand.
func parseConfig(config json.RawMessage, from string) (*model.Spec, error) {
	spec, err := model.Parse(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Clean(from), err)
	}
	for _, warning := range spec.Warnings {
		console.Warn("%s", warning)
	}
	return spec, nil
}

// runConversion writes an artifact and prints what it became.
func runConversion(ctx context.Context, o convert.Options, what string) (convert.Report, error) {
	progress := console.NewProgress(what, console.Count("weights"))
	o.Progress = func(p convert.Progress) { progress.Set(p.Done, p.Total, p.Tensor) }
	report, err := convert.Run(ctx, o)
	progress.Done()
	if err != nil {
		return report, err
	}
	fmt.Printf("%s: %d tensors, %.1f M parameters, %s (%.2f bits per weight)\nmodel %s\n", o.Output, report.Tensors,
		float64(report.Parameters)/1e6, console.Bytes(report.Bytes), report.BitsPerWeight(), report.Digest)
	return report, nil
}
