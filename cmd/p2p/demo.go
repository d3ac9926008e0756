package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"shoal/cmd/internal/setup"
)

type demoCommand struct {
	Peers       int     `default:"3" placeholder:"N" help:"Node processes to start; every expert is on two of them."`
	Prompt      string  `help:"Text to continue (default: ROMEO:)."`
	PromptIDs   []int   `name:"prompt-ids" placeholder:"ID,..." help:"Token ids to continue instead of a text."`
	MaxTokens   int     `default:"96" placeholder:"N" help:"New tokens at most."`
	Temperature float64 `default:"0.8" placeholder:"T" help:"0 takes the most likely token each time."`
	TopK        int     `default:"50" placeholder:"K" help:"Sample from the K most likely tokens; 0 is all."`
	TopP        float64 `default:"0.95" placeholder:"P" help:"Sample from the most likely tokens that together reach this probability."`
	Seed        uint64  `default:"1" placeholder:"S" help:"Of the random numbers: the same seed gives the same text."`
	Device      string  `enum:"auto,gpu,cpu" default:"auto" help:"Where nodes and coordinator compute: auto, gpu or cpu."`
	Mode        string  `enum:"exact,fast" default:"exact" help:"exact: float32, the tokens of one machine. fast: fewer bytes (--wire) and one sum per peer."`
	Wire        string  `enum:"auto,f32,bf16,int8" default:"auto" help:"How activations travel in fast mode: f32, bf16, int8, or auto: bf16, and int8 where the line is slow."`
	Model       string  `default:"demo" placeholder:"DIR" help:"Artifact (default: the small embedded demo model)."`
	Layers      int     `placeholder:"N" help:"In place of --model: a model of N layers that takes next to no time to compute, so that the network decides. Its text is noise."`
	JSON        bool    `help:"Print one JSON object instead of text."`
	setup.LinkFlags
}

func (c *demoCommand) Help() string {
	return `Starts nodes as processes of their own on loopback. They find each other through a DHT, like nodes on different machines.

Example:

    p2p demo --prompt "JULIET:" --temperature 0

Over a slow network:

    p2p demo --mode fast --rtt 30ms --jitter 5ms --loss 0.1% --rate 20mbit`
}

// maxDemoPeers bounds the processes that a demo starts.
const maxDemoPeers = 32

func (c *demoCommand) Run(ctx context.Context) error {
	if c.Peers < 1 || c.Peers > maxDemoPeers {
		return fmt.Errorf("--peers %d: want 1 to %d", c.Peers, maxDemoPeers)
	}
	if c.Layers < 0 || c.Layers > maxDemoLayers {
		return fmt.Errorf("--layers %d: want 1 to %d", c.Layers, maxDemoLayers)
	}
	network := c.LinkFlags.Config()
	if err := network.Validate(); err != nil {
		return fmt.Errorf("the network to emulate: %w", err)
	}
	if _, err := setup.ParseWire(c.Wire, c.Mode); err != nil {
		return err
	}
	if c.Layers > 0 {
		dir, remove, err := writeLinkModel(ctx, c.Layers)
		if err != nil {
			return err
		}
		defer remove()
		c.Model = dir
	}
	artifact, err := setup.OpenModel(c.Model)
	if err != nil {
		return err
	}
	moe := artifact.MoE()
	_ = artifact.Close()
	switch {
	case moe == nil:
		return fmt.Errorf("model %s is dense: it has no experts to spread over nodes", c.Model)
	case moe.Experts < c.Peers:
		return fmt.Errorf("--peers %d: the model has only %d experts per layer", c.Peers, moe.Experts)
	}
	if c.Prompt == "" && len(c.PromptIDs) == 0 {
		c.Prompt = "ROMEO:"
	}
	say := func(format string, args ...any) {
		if !c.JSON {
			fmt.Fprintf(os.Stdout, format, args...)
		}
	}
	say("starting %d nodes on this machine ...\n", c.Peers)
	nodes, err := startNodes(ctx, c.Model, c.Device, demoShares(c.Peers, moe.Experts))
	if err != nil {
		return err
	}
	defer stopNodes(nodes)
	for i, n := range nodes {
		say("  node %d  %s  experts %s of %d layers\n", i+1, n.Address, n.Experts, len(moe.Layers))
	}

	engine, err := setup.EngineFlags{
		Model: c.Model, Mode: c.Mode, Wire: c.Wire, Wait: 30 * time.Second,
		DeviceFlags:  setup.DeviceFlags{Device: c.Device},
		NetworkFlags: setup.NetworkFlags{Bootstrap: []string{nodes[0].Address}},
		LinkFlags:    c.LinkFlags,
	}.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	say("every expert was found through the DHT, the coordinator has none of its own\n")
	if !network.Perfect() {
		say("between the coordinator and the nodes: %s\n", network)
	}
	say("\n")
	err = generate(ctx, engine, samplingFlags{
		Prompt: c.Prompt, PromptIDs: c.PromptIDs, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Seed: c.Seed,
	}, output{json: c.JSON, stats: true, drawMap: true})
	if err == nil {
		say("\nthe nodes are stopped\n")
	}
	return err
}
