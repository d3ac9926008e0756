// Package lend runs a node: it holds experts of one model, announces them, and computes them for whoever asks, until told
// to stop. It is the node command, and what `p2p demo` starts three of.
package lend

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/experts"
	"shoal/experts/host"
	"shoal/gpu"
	"shoal/p2p"
	"shoal/rdrr"
)

// Node is the command line of a node.
type Node struct {
	Model   string       `default:"demo" placeholder:"DIR" help:"Artifact whose experts to hold (default: the small embedded demo model)."`
	Layers  string       `placeholder:"LIST" help:"Layers to hold, such as 0-1,5. Default: what fits in --memory, least replicated first."`
	Experts string       `placeholder:"LIST" help:"Experts to hold of those layers, such as 0-7. Default: all of them."`
	Memory  console.Size `placeholder:"SIZE" help:"Memory to lend, such as 8GB (default 4GB if the choice is the node's)."`
	setup.DeviceFlags
	setup.NetworkFlags
	JSON bool `help:"Print one JSON object per event instead of text."`
	// WithParent ends the node when its standard input is closed: when whoever started it is gone.
	WithParent bool `hidden:""`
}

// defaultMemory is lent when the user names neither experts nor a size.
const defaultMemory = 4 << 30

// Run lends until ctx ends, which is not an error.
func (n *Node) Run(ctx context.Context) error {
	if n.WithParent {
		ctx = untilClosed(ctx, os.Stdin)
	}
	err := n.lend(ctx, &announcer{out: os.Stdout, json: n.JSON})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (n *Node) lend(ctx context.Context, say *announcer) error {
	model, err := setup.OpenModel(n.Model)
	if err != nil {
		return err
	}
	defer model.Close()
	moe := model.MoE()
	if moe == nil {
		return fmt.Errorf("model %s is dense: it has no experts to hold", n.Model)
	}
	only, err := n.restriction(moe)
	if err != nil {
		return err
	}
	device, err := n.DeviceFlags.Open()
	if err != nil {
		return err
	}
	defer device.Close()
	bank, err := host.New(device, model)
	if err != nil {
		return err
	}
	defer bank.Close()

	swarm, err := n.NetworkFlags.Join(ctx, true)
	if err != nil {
		return err
	}
	defer swarm.Close()
	say.addresses(swarm)

	holds, err := n.choose(ctx, swarm, bank, only)
	if err != nil {
		return err
	}
	if err := load(ctx, bank, holds); err != nil {
		return err
	}
	server, err := p2p.NewServer(swarm, p2p.ServerConfig{}, p2p.Served{Model: model.Digest(), MoE: *moe, Runner: bank})
	if err != nil {
		return err
	}
	defer server.Close()
	speed, err := measure(ctx, bank)
	if err != nil {
		return err
	}
	announced, err := swarm.Announce(p2p.Announcement{
		Model: model.Digest(), Holds: holds, CapacityBytes: uint64(n.capacity()), RowsPerSecond: speed,
		Device: deviceName(device.Info()), Build: setup.Build(),
	})
	if err != nil {
		return err
	}
	defer announced.Close()
	say.holding(model, holds, bank.Bytes(), device.Info())

	<-ctx.Done()
	say.stopping(server)
	return nil
}

func (n *Node) capacity() int64 {
	if n.Memory == 0 {
		return defaultMemory
	}
	return int64(n.Memory)
}

// load brings the experts in, layer by layer.
func load(ctx context.Context, bank *host.Host, holds experts.Holdings) error {
	progress := console.NewProgress("loading", console.Bytes)
	defer progress.Done()
	total := int64(holds.Count()) * bank.ExpertBytes()
	done := int64(0)
	for _, layer := range holds.Layers() {
		list := holds[layer].Experts()
		if err := bank.Load(ctx, layer, list); err != nil {
			return err
		}
		done += int64(len(list)) * bank.ExpertBytes()
		progress.Set(done, total, fmt.Sprintf("layer %d", layer))
	}
	return nil
}

// measure is the number of rows per second that one expert computes, one row at a time: the median of a few calls.
func measure(ctx context.Context, bank *host.Host) (float64, error) {
	holds, moe := bank.Holdings(), bank.MoE()
	layer := holds.Layers()[0]
	batch := experts.Batch{
		Model: bank.Model(), Layer: layer, Hidden: moe.Hidden, X: make([]float32, moe.Hidden), Sum: true,
		Slots: []experts.Slot{{Expert: holds[layer].Experts()[0], Weight: 1}},
	}
	best := time.Duration(1<<63 - 1)
	for range 5 {
		start := time.Now()
		if _, err := bank.Run(ctx, batch); err != nil {
			return 0, fmt.Errorf("trying the device: %w", err)
		}
		best = min(best, time.Since(start))
	}
	return 1 / max(best.Seconds(), 1e-9), nil
}

func deviceName(info gpu.Info) string {
	if info.Backend == "cpu" {
		return fmt.Sprintf("cpu, %d threads", info.Threads)
	}
	return info.Name
}

// untilClosed returns a context that also ends when r does.
func untilClosed(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	return ctx
}

// Event is what a node says with --json, an object per line: "listening", "holding", "stopped".
type Event struct {
	Event     string         `json:"event"`
	ID        string         `json:"id,omitempty"`
	Addresses []string       `json:"addresses,omitempty"`
	Model     string         `json:"model,omitempty"`
	Device    string         `json:"device,omitempty"`
	Bytes     int64          `json:"bytes,omitempty"`
	Experts   int            `json:"experts,omitempty"`
	Layers    map[int]string `json:"layers,omitempty"` // layer -> ranges of experts
}

// announcer prints what a node does.
type announcer struct {
	out  io.Writer
	json bool
}

func (a *announcer) event(e Event) {
	line, err := json.Marshal(e)
	if err == nil {
		fmt.Fprintf(a.out, "%s\n", line)
	}
}

func (a *announcer) addresses(swarm *p2p.Host) {
	if a.json {
		a.event(Event{Event: "listening", ID: swarm.ID().String(), Addresses: swarm.Addresses()})
		return
	}
	fmt.Fprintf(a.out, "peer %s\n", swarm.ID())
	for _, address := range swarm.Addresses() {
		fmt.Fprintf(a.out, "listening on %s\n", address)
	}
}

func (a *announcer) holding(model *rdrr.Model, holds experts.Holdings, bytes int64, info gpu.Info) {
	layers := map[int]string{}
	for _, l := range holds.Layers() {
		layers[l] = experts.FormatRanges(holds[l].Experts())
	}
	if a.json {
		a.event(Event{Event: "holding", Model: model.Digest().String(), Device: deviceName(info), Bytes: bytes, Experts: holds.Count(), Layers: layers})
		return
	}
	fmt.Fprintf(a.out, "model %s\n", model.Digest())
	for _, l := range holds.Layers() {
		fmt.Fprintf(a.out, "layer %d: experts %s\n", l, layers[l])
	}
	fmt.Fprintf(a.out, "holding %d experts, %s, on %s\n", holds.Count(), console.Bytes(bytes), deviceName(info))
}

func (a *announcer) stopping(server *p2p.Server) {
	if a.json {
		a.event(Event{Event: "stopped"})
		return
	}
	var calls, sent, received int64
	for _, t := range server.Traffic() {
		calls, sent, received = calls+t.Calls, sent+t.BytesSent, received+t.BytesReceived
	}
	fmt.Fprintf(a.out, "stopped: answered %d calls, %s in, %s out\n", calls, console.Bytes(received), console.Bytes(sent))
}
