package main

import (
	"context"
	"fmt"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/rdrr"
)

type verifyCommand struct {
	Dir string `arg:"" name:"DIR" help:"Artifact."`
}

func (c *verifyCommand) Help() string { return "Example:\n\n    p2p verify ~/models/qwen3" }

func (c *verifyCommand) Run(ctx context.Context) error {
	artifact, err := setup.OpenModel(c.Dir)
	if err != nil {
		return err
	}
	defer artifact.Close()
	progress := console.NewProgress("verifying", console.Bytes)
	err = artifact.VerifyAll(ctx, func(p rdrr.Progress) { progress.Set(p.Done, p.Total, p.File) })
	progress.Done()
	if err != nil {
		return fmt.Errorf("verify %s: %w", c.Dir, err)
	}
	manifest := artifact.Manifest()
	fmt.Printf("%s: %d shards, %s, every hash right; model %s\n", c.Dir, len(manifest.Shards), console.Bytes(manifest.TotalSize()), artifact.Digest())
	return nil
}
