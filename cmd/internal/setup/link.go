package setup

import (
	"fmt"
	"time"

	"shoal/p2p"
	"shoal/p2p/link"
	"shoal/router"
)

// LinkFlags emulate a network between this process and the peers that it dials.
type LinkFlags struct {
	RTT    time.Duration `placeholder:"TIME" help:"Emulate a network to the peers: round-trip time, such as 30ms."`
	Jitter time.Duration `placeholder:"TIME" help:"Emulated network: round trips vary by up to this, either way."`
	Loss   link.Loss     `placeholder:"SHARE" help:"Emulated network: share of packets lost, such as 0.1%."`
	Rate   link.Rate     `placeholder:"RATE" help:"Emulated network: rate of this process's line, each way, such as 20mbit."`
	// LinkSeed is of the jitter and the losses.
	LinkSeed uint64 `hidden:"" default:"1"`
}

// Config is the link that the flags describe.
func (f LinkFlags) Config() link.Config {
	return link.Config{RTT: f.RTT, Jitter: f.Jitter, Loss: f.Loss, Rate: f.Rate, Seed: f.LinkSeed}
}

// Open returns the link, nil if none is to be emulated.
func (f LinkFlags) Open() (*link.Link, error) {
	l, err := link.New(f.Config())
	if err != nil || l.Config().Perfect() {
		return nil, err
	}
	return l, nil
}

// ParseWire reads --wire and --mode: how activations travel. Exact mode's tokens are those of one machine, so it sends float32.
func ParseWire(wire, mode string) (p2p.Wire, error) {
	if wire == "" {
		wire = "auto"
	}
	w, err := p2p.ParseWire(wire)
	switch {
	case err != nil:
		return w, err
	case mode == router.Fast.String():
		return w, nil
	case w.Auto:
		return p2p.WireF32, nil
	case w != p2p.WireF32:
		return w, fmt.Errorf("--wire %s: exact mode sends f32; add --mode fast", wire)
	}
	return w, nil
}
