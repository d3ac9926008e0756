// Package demomodel embeds the demo: a 14 M-parameter Qwen3-MoE that writes Shakespeare, as an artifact with one shard per
// expert. tools/demo says how it was trained and on what.
package demomodel

import (
	"embed"
	"io/fs"
)

//go:generate go run shoal/cmd/p2p convert --input ../../../../shared/demo --output model --quantize q4_k_m --replace

//go:embed model
var files embed.FS

// FS is the artifact's folder.
func FS() fs.FS {
	sub, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
