package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"shoal/cmd/internal/console"
	"shoal/cmd/internal/setup"
	"shoal/cmd/internal/swarmmap"
	"shoal/experts"
	"shoal/router/plan"
)

type planCommand struct {
	setup.EngineFlags
	Memory console.Size `placeholder:"SIZE" help:"Memory of this process for experts, such as 16GB (default: what the device has left)."`
	JSON   bool         `help:"Print one JSON object."`
}

func (c *planCommand) Help() string {
	return `Measures round trips, peers and this machine, and predicts the speed of one text: alone, with the swarm, and without each peer.

Example:

    p2p plan --model ~/models/qwen3 --bootstrap /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo...`
}

// outlook is what plan says, and prints with --json.
type outlook struct {
	Model string `json:"model"`
	// Alone is this process with all experts, whether or not they fit.
	Alone forecast `json:"alone"`
	Fits  bool     `json:"alone_fits"`
	Bytes int64    `json:"experts_bytes"`
	Room  int64    `json:"memory_bytes"` // for experts, 0: not known
	Swarm forecast `json:"swarm"`
	// Mixed is the swarm with more whole layers here, null if that is no faster or nothing fits.
	Mixed   *forecast     `json:"mixed"`
	Without []removal     `json:"without"`
	Peers   []plannedPeer `json:"peers"`
	Failed  []string      `json:"failed"`
	// Slower tells whether this machine alone, where the model fits, is predicted to be faster than the swarm.
	Slower  bool   `json:"swarm_is_slower"`
	Verdict string `json:"verdict"`
}

// forecast is a predicted speed and what it is made of.
type forecast struct {
	TokensPerSecond float64            `json:"tokens_per_second"`
	Bound           string             `json:"bound_by"`
	Time            map[string]float64 `json:"time_ms"` // of a token
	Local           string             `json:"local"`   // layers in this process
	RemoteLayers    int                `json:"remote_layers_per_token"`
	Messages        float64            `json:"messages_per_token"`
	Missing         int                `json:"missing_experts"`
}

// removal is the swarm without one peer.
type removal struct {
	Peer string `json:"peer"`
	forecast
}

// plannedPeer is what was measured of a peer, and its part.
type plannedPeer struct {
	ID      string  `json:"id"`
	Holds   int     `json:"holds"`   // experts
	Serves  int     `json:"serves"`  // of them, by the plan
	RTT     float64 `json:"rtt_ms"`  // of a message without work
	Call    float64 `json:"call_ms"` // of a call, beside its experts
	Expert  float64 `json:"expert_ms"`
	Queue   float64 `json:"queue_ms"`
	Late    float64 `json:"late_ms"`
	Waits   float64 `json:"wait_ms"` // of a token, for this peer
	Claimed float64 `json:"claimed_rows_per_second"`
}

func (c *planCommand) Run(ctx context.Context) error {
	if len(c.Bootstrap) == 0 {
		return errors.New("--bootstrap: give the address of a peer of the swarm (a node prints its addresses)")
	}
	engine, err := c.EngineFlags.Open(ctx)
	if err != nil {
		return err
	}
	defer engine.Close()
	if !engine.Remote() {
		return fmt.Errorf("model %s is dense: it has no experts to plan for", c.Model)
	}
	survey, err := engine.Survey(ctx)
	if err != nil {
		return err
	}
	if c.Memory > 0 {
		survey.Memory = int64(c.Memory)
	}
	planner, err := plan.New(survey.Swarm)
	if err != nil {
		return err
	}
	o := c.outlook(engine, survey, planner.Compare(survey.Memory))
	if c.JSON {
		return printJSON(os.Stdout, o)
	}
	o.print(os.Stdout, survey)
	return nil
}

func (c *planCommand) outlook(e *setup.Engine, s *setup.Survey, cmp plan.Comparison) outlook {
	o := outlook{
		Model: e.Model.Digest().String(), Alone: forecastOf(cmp.Alone), Fits: cmp.Fits, Bytes: cmp.Bytes, Swarm: forecastOf(cmp.Swarm),
		Slower: cmp.SwarmIsSlower(), Without: []removal{}, Failed: []string{},
	}
	if s.Memory != math.MaxInt64 {
		o.Room = s.Memory
	}
	if cmp.Mixed != nil {
		mixed := forecastOf(cmp.Mixed)
		o.Mixed = &mixed
	}
	for _, r := range cmp.Without {
		o.Without = append(o.Without, removal{r.Peer, forecastOf(r.Plan)})
	}
	claimed := map[string]float64{}
	for _, p := range e.Directory.Peers() {
		if p.Record != nil {
			claimed[p.ID.String()] = p.Record.RowsPerSecond
		}
	}
	for _, p := range s.Peers {
		serves := 0
		for _, l := range cmp.Swarm.Layers {
			serves += l.Experts[p.ID].Len()
		}
		o.Peers = append(o.Peers, plannedPeer{
			ID: p.ID, Holds: p.Holds.Count(), Serves: serves, RTT: ms(p.RTT), Call: ms(p.Call), Expert: ms(p.Expert), Queue: ms(p.Queue), Late: ms(p.Late),
			Waits: 1e3 * cmp.Swarm.Waits[p.ID], Claimed: claimed[p.ID],
		})
	}
	for _, f := range s.Failed {
		o.Failed = append(o.Failed, f.String())
	}
	o.Verdict = o.verdict()
	return o
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func forecastOf(p *plan.Plan) forecast {
	t := p.Time
	return forecast{
		TokensPerSecond: p.TokensPerSecond(), Bound: t.Bound(), Local: experts.FormatRanges(p.Here()), RemoteLayers: p.Remote, Messages: p.Messages,
		Missing: p.Missing,
		Time: map[string]float64{
			"total": 1e3 * t.Total(), "trunk": 1e3 * t.Trunk, "experts": 1e3 * t.Experts, "messages": 1e3 * t.Sync, "round_trips": 1e3 * t.RoundTrip,
			"bytes": 1e3 * t.Bytes, "compute": 1e3 * t.Compute, "queue": 1e3 * t.Queue, "stragglers": 1e3 * t.Late,
		},
	}
}

// verdict says in a sentence what to do.
func (o outlook) verdict() string {
	switch {
	case o.Swarm.Missing > 0:
		return fmt.Sprintf("The swarm cannot run the model: %d experts have no holder that answers.", o.Swarm.Missing)
	case o.Slower:
		return fmt.Sprintf("The swarm would be slower than this machine alone, which has room for the model: leave out --bootstrap for %.1f instead of %.1f tokens/s.",
			o.Alone.TokensPerSecond, o.Swarm.TokensPerSecond)
	case o.Mixed != nil && o.Mixed.TokensPerSecond > 1.05*o.Swarm.TokensPerSecond:
		return fmt.Sprintf("Holding layers here as well would be faster: --local %s for %.1f instead of %.1f tokens/s.",
			o.Mixed.Local, o.Mixed.TokensPerSecond, o.Swarm.TokensPerSecond)
	case o.Fits:
		return "The swarm would be faster than this machine alone."
	}
	return fmt.Sprintf("This machine has no room for the model alone, whose experts take %s.", console.Bytes(o.Bytes))
}

func (o outlook) print(w io.Writer, s *setup.Survey) {
	fmt.Fprintf(w, "here: trunk %s a token, an expert %.3f ms, a remote layer's stop %.3f ms, a message %.3f ms\n",
		millis(ms(s.Self.Trunk)), ms(s.Self.Expert), ms(s.Self.Sync), ms(s.Self.Message))
	var peers console.Table
	peers.Row("peer", "holds", "serves", "round trip", "call", "expert", "queue", "late", "waited for")
	for _, p := range o.Peers {
		peers.Row(swarmmap.Short(p.ID), p.Holds, p.Serves, millis(p.RTT), millis(p.Call), fmt.Sprintf("%.3f ms", p.Expert), millis(p.Queue), millis(p.Late), millis(p.Waits))
	}
	peers.Print(w)
	for _, f := range o.Failed {
		fmt.Fprintf(w, "left out: %s\n", f)
	}
	fmt.Fprintln(w, "\npredicted, one token a pass:")
	var t console.Table
	row := func(name string, f forecast, note string) {
		t.Row(name, fmt.Sprintf("%.2f tokens/s", f.TokensPerSecond), "bound by "+f.Bound, note)
	}
	room := "fits"
	if !o.Fits {
		room = "does not fit: " + console.Bytes(o.Bytes) + " of experts, room for " + console.Bytes(o.Room)
	}
	row("alone", o.Alone, room)
	row("swarm", o.Swarm, fmt.Sprintf("%d remote layers, %.1f messages", o.Swarm.RemoteLayers, o.Swarm.Messages))
	if o.Mixed != nil {
		row("swarm, more layers here", *o.Mixed, "--local "+o.Mixed.Local)
	}
	for _, r := range o.Without {
		note := ""
		switch i := slices.IndexFunc(o.Peers, func(p plannedPeer) bool { return p.ID == r.Peer }); {
		case r.Missing > 0:
			note = fmt.Sprintf("%d experts have no other holder", r.Missing)
		case i >= 0 && o.Peers[i].Serves == 0:
			note = "has no part: it would slow a layer down or adds nothing"
		}
		row("without "+swarmmap.Short(r.Peer), r.forecast, note)
	}
	t.Print(w)
	fmt.Fprintf(w, "\n%s\n", o.Verdict)
}
