package setup

import (
	"context"
	"runtime/debug"

	"github.com/libp2p/go-libp2p"

	"shoal/p2p"
	"shoal/p2p/link"
)

// NetworkFlags say how this process joins the swarm.
type NetworkFlags struct {
	Bootstrap []string `placeholder:"ADDR" sep:"none" help:"Address of a peer to join through, such as /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo...; may be repeated."`
	Listen    []string `placeholder:"ADDR" sep:"none" help:"Address to listen on, such as /ip4/0.0.0.0/tcp/4001; may be repeated."`
	Data      string   `placeholder:"DIR" help:"Folder for this peer's identity (default: a new identity each time)."`

	// Link is put between this process and the peers that it dials; nil: none.
	Link *link.Link `kong:"-"`
}

// Join starts the network. A node serves DHT records and listens on all interfaces unless told otherwise; a coordinator
// only dials, unless it is given an address to listen on.
func (f NetworkFlags) Join(ctx context.Context, node bool) (*p2p.Host, error) {
	config := p2p.Config{
		Listen: f.Listen, Bootstrap: f.Bootstrap, DataDir: f.Data,
		DHTServer: node, NAT: node, Agent: "shoal/" + Build(), Link: f.Link,
	}
	if !node && len(f.Listen) == 0 {
		config.Libp2p = []libp2p.Option{libp2p.NoListenAddrs}
	}
	return p2p.NewHost(ctx, config)
}

// Build names this build: the module's version, or the commit it was built from.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
