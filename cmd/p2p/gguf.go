package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/rdrr/convert"
)

// writeGGUF writes an artifact as a GGUF file.
func (c *convertCommand) writeGGUF(ctx context.Context) error {
	artifact, err := setup.OpenModel(c.Input)
	if err != nil {
		return fmt.Errorf("--to gguf: %w", err)
	}
	defer artifact.Close()
	spec, err := parseConfig(artifact.Config(), c.Input)
	if err != nil {
		return err
	}
	described, err := spec.GGUF()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Input, err)
	}
	for _, warning := range described.Warnings {
		console.Warn("%s", warning)
	}
	progress := console.NewProgress("writing", console.Count("weights"))
	report, err := convert.ExportGGUF(ctx, convert.GGUFOptions{
		Model: artifact, Output: c.Output, Replace: c.Replace, Quantize: c.scheme("none"), Tensors: spec.Tensors(),
		Architecture: described.Architecture, Keys: described.Keys, RopeFactors: described.RopeFactors,
		Progress: func(p convert.Progress) { progress.Set(p.Done, p.Total, p.Tensor) },
	})
	progress.Done()
	if err != nil {
		return err
	}
	for _, warning := range report.Warnings {
		console.Warn("%s", warning)
	}
	for _, from := range slices.Sorted(maps.Keys(report.Recoded)) {
		console.Warn("GGUF cannot hold %s: such tensors become %s", from, report.Recoded[from])
	}
	fmt.Printf("%s: %d tensors, %.1f M parameters, %s, architecture %s\n", c.Output, report.Tensors,
		float64(report.Parameters)/1e6, console.Bytes(report.Bytes), described.Architecture)
	return nil
}
