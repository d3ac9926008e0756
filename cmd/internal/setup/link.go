package setup

import (
	"time"

	"shoal/p2p/link"
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
