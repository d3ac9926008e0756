package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"shoal/cmd/internal/setup"
	"shoal/cmd/internal/swarmmap"
	"shoal/experts"
	"shoal/p2p"
	"shoal/rdrr"
)

type mapCommand struct {
	Model string `default:"demo" placeholder:"DIR" help:"Artifact (default: the small embedded demo model)."`
	setup.NetworkFlags
	Wait time.Duration `default:"5s" help:"How long to look for peers; ends early once every expert has been found."`
	JSON bool          `help:"Print one JSON object."`
}

func (c *mapCommand) Help() string {
	return "Example:\n\n    p2p map --model ~/models/qwen3 --bootstrap /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo..."
}

func (c *mapCommand) Run(ctx context.Context) error {
	if len(c.Bootstrap) == 0 {
		return errors.New("--bootstrap: give the address of a peer of the swarm (a node prints its addresses)")
	}
	artifact, err := setup.OpenModel(c.Model)
	if err != nil {
		return err
	}
	defer artifact.Close()
	moe := artifact.MoE()
	if moe == nil {
		return fmt.Errorf("model %s is dense: it has no experts to map", c.Model)
	}
	network, err := c.NetworkFlags.Join(ctx, false)
	if err != nil {
		return err
	}
	defer network.Close()
	directory, err := p2p.NewDirectory(network, p2p.DirectoryConfig{Model: artifact.Digest(), Layers: moe.Layers})
	if err != nil {
		return err
	}
	defer directory.Close()
	wait, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	waited := settle(wait, directory, *moe)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(directory.Holders()) == 0 {
		return waited
	}
	m := directoryMap(artifact.Digest(), moe, directory)
	if c.JSON {
		return printJSON(os.Stdout, m)
	}
	m.Print(os.Stdout)
	return nil
}

// quiet is how long no new peer must have come for the map to count as whole.
const quiet = time.Second

// settle waits until every expert has a holder and no new one has come for a moment, or ctx ends.
func settle(ctx context.Context, d *p2p.Directory, moe rdrr.MoE) error {
	if err := d.Wait(ctx, p2p.Covered(moe)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		known := len(d.Holders())
		more, cancel := context.WithTimeout(ctx, quiet)
		err := d.Wait(more, func(h []experts.Holder) bool { return len(h) > known })
		cancel()
		if err != nil {
			return nil
		}
	}
	return nil
}

func directoryMap(digest rdrr.Digest, moe *rdrr.MoE, d *p2p.Directory) swarmmap.Map {
	var peers []swarmmap.Peer
	for _, p := range d.Peers() {
		if p.Record == nil || !p.Connected {
			continue
		}
		peer := swarmmap.Peer{ID: p.ID.String(), Device: p.Record.Device, Build: p.Record.Build, Holds: p.Record.Holds}
		for _, a := range p.Addresses {
			peer.Addresses = append(peer.Addresses, a.String())
		}
		peers = append(peers, peer)
	}
	return swarmmap.New(digest, moe, peers)
}

// engineMap is the map of the swarm that an engine uses, nil if it is alone.
func engineMap(e *setup.Engine) *swarmmap.Map {
	if !e.Remote() {
		return nil
	}
	m := directoryMap(e.Model.Digest(), e.Model.MoE(), e.Directory)
	return &m
}
