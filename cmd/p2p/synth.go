package main

import (
	"context"
	"fmt"
	"strings"

	"shoal/model"
	"shoal/rdrr/convert"
	"shoal/rdrr/synth"
)

type synthCommand struct {
	Arch     string `required:"" placeholder:"NAME" help:"Model whose shapes to take, such as qwen3-30b-a3b; an unknown name lists them."`
	Layers   int    `placeholder:"N" help:"Number of layers (default: the model's)."`
	Experts  int    `placeholder:"N" help:"Experts per layer (default: the model's)."`
	Quantize string `default:"q4_k_m" placeholder:"TYPE" help:"q4_k_m, q8_0, f16, none for the formats in which the model is published, or one format for all matrices, such as q5_k or mxfp4."`
	Output   string `required:"" placeholder:"DIR" help:"Folder for the artifact; must not exist or be empty."`
	Seed     uint64 `default:"1" placeholder:"N" help:"The same seed gives the same bytes."`
	Replace  bool   `help:"Replace an artifact that is already there."`
}

func (c *synthCommand) Help() string {
	return "Example:\n\n    p2p synth --arch qwen3-30b-a3b --layers 8 --output ~/models/qwen3-8\n\nModels: " + strings.Join(synth.Names(), ", ")
}

func (c *synthCommand) Run(ctx context.Context) error {
	if c.Layers < 0 || c.Experts < 0 {
		return fmt.Errorf("--layers %d, --experts %d: want positive numbers", c.Layers, c.Experts)
	}
	config, err := synth.Config(c.Arch, c.Layers, c.Experts)
	if err != nil {
		return fmt.Errorf("--arch: %w", err)
	}
	spec, err := model.Parse(config)
	if err != nil {
		return err
	}
	source, err := synth.New(config, spec.Tensors(), c.Quantize, c.Seed)
	if err != nil {
		return err
	}
	_, err = runConversion(ctx, convert.Options{
		Source: source, Output: c.Output, Quantize: string(source.Scheme()), Replace: c.Replace, ModelID: "synthetic " + c.Arch,
		Config: config, Tensors: spec.Tensors(), MoE: spec.MoE(),
	}, "synthesising")
	return err
}
