// Command p2p converts models, generates text against the swarm, and shows who holds what.
package main

import (
	"os"

	"shoal/cmd/internal/console"
)

type commands struct {
	Demo       demoCommand       `cmd:"" help:"Run the whole thing on this machine: three nodes, a DHT, a coordinator, a small embedded model."`
	Generate   generateCommand   `cmd:"" help:"Continue a prompt, alone or against a swarm."`
	Map        mapCommand        `cmd:"" help:"Show who holds which experts of a model."`
	Plan       planCommand       `cmd:"" help:"Predict the speed of a swarm: alone, together, and without each peer."`
	Convert    convertCommand    `cmd:"" help:"Turn a hub checkpoint into an artifact with one shard per expert."`
	Synth      synthCommand      `cmd:"" help:"Make an artifact of a published model's shapes with random weights, to measure with."`
	Inspect    inspectCommand    `cmd:"" help:"Show what an artifact holds."`
	Verify     verifyCommand     `cmd:"" help:"Check every shard of an artifact against its hash."`
	Test       testCommand       `cmd:"" help:"Compare a model's output with a reference."`
	Bench      benchCommand      `cmd:"" help:"Measure prefill and decode speed."`
	Perplexity perplexityCommand `cmd:"" help:"Score a text with a model."`
	Tokenize   tokenizeCommand   `cmd:"" help:"Turn text into token ids: a JSON string per line in, a JSON array per line out."`
	Render     renderCommand     `cmd:"" help:"Render conversations with a chat template: a JSON object per line in, a JSON string per line out."`
	GPUInfo    gpuInfoCommand    `cmd:"" name:"gpu-info" help:"Show what this machine can compute with: CPU, memory, adapters."`
	Link       linkCommand       `cmd:"" hidden:"" help:"Put an emulated network before any TCP server on this machine."`
	Node       nodeCommand       `cmd:"" hidden:"" help:"Lend this machine (the same as the node command)."`
}

func main() {
	var grammar commands
	os.Exit(console.Run(&grammar, "p2p", "Run mixture-of-experts models across many people's machines."))
}
