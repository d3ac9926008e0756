// Command node lends this machine's memory and GPU: it holds some experts of a model and computes them for whoever asks.
package main

import (
	"os"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/lend"
)

func main() {
	var node lend.Node
	os.Exit(console.Run(&node, "node", `Lend this machine to a swarm: hold some experts of a model and compute them for whoever asks.

Example:

    node --model ~/models/qwen3 --memory 8GB --bootstrap /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo...`))
}
