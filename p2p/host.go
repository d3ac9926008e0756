package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"shoal/p2p/link"
)

// Config says how a process joins the swarm. The zero value listens on every interface at ports the system chooses, with a
// peer id that lasts as long as the process, and joins nobody.
type Config struct {
	Listen           []string      // multiaddrs to listen on; empty: TCP and QUIC on all interfaces, port 0
	Bootstrap        []string      // multiaddrs with peer ids of peers to join through; one that answers is enough
	BootstrapTimeout time.Duration // for all of them together; 0: 10 s
	DataDir          string        // where the identity key is kept; empty: a new identity each time
	DHTServer        bool          // keep DHT records for others: for nodes that others can dial
	NAT              bool          // port mapping, AutoNAT v2, relay client and hole punching; ignored when only loopback is listened on
	Agent            string        // name and version of the program, told to peers; empty: "shoal"
	Log              *slog.Logger  // nil: silent

	// Link is put between this process and every peer that it dials, over TCP alone: an emulated network, to try things out on one
	// machine. Nil: none.
	Link *link.Link

	// Libp2p are further libp2p options, applied last: for simulated networks and unusual transports.
	Libp2p []libp2p.Option
}

var defaultListen = []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"}

// Provider records are dropped by the peers that keep them an hour after they were last announced. Announcers repeat them
// at a third of that.
const (
	provideValidity = time.Hour
	provideAgain    = provideValidity / 3
)

// localDialTimeout is for loopback and private addresses. A peer that died holds up lookups for so long, because nothing
// refuses a QUIC connection.
const localDialTimeout = 2 * time.Second

// Host is this process in the swarm.
type Host struct {
	host host.Host
	dht  *dht.IpfsDHT
	key  crypto.PrivKey
	log  *slog.Logger
	book *recordBook

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup // what runs in the background
}

// NewHost starts listening and joins the swarm through the bootstrap peers. ctx bounds joining, not the host's life.
func NewHost(ctx context.Context, cfg Config) (*Host, error) {
	bootstrap, err := parseBootstrap(cfg.Bootstrap)
	if err != nil {
		return nil, err
	}
	listen, err := parseListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	key, err := loadIdentity(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	lh, err := newLibp2p(cfg, key, listen)
	if err != nil {
		return nil, fmt.Errorf("start the network on %v: %w", listen, err)
	}
	mode := dht.ModeClient
	if cfg.DHTServer {
		mode = dht.ModeServer
	}
	var joined atomic.Bool
	// Neither addresses nor peers are filtered: a swarm on loopback or a private network is as good as a public one.
	kad, err := dht.New(lh,
		dht.Mode(mode),
		dht.ProtocolPrefix(dhtPrefix),
		// Not before this host has tried itself: a dial that fails twice in a row tells only of the backoff.
		dht.BootstrapPeersFunc(func() []peer.AddrInfo {
			if !joined.Load() {
				return nil
			}
			return bootstrap
		}),
		dht.DisableValues(),
		dht.ProviderManagerOpts(records.ProvideValidity(provideValidity), records.ProviderAddrTTL(provideValidity)),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the DHT: %w", err), lh.Close())
	}
	h := &Host{host: lh, dht: kad, key: key, log: cfg.Log, book: newRecordBook(lh.ID())}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.host.SetStreamHandler(MapProtocol, h.serveMap)

	timeout := cfg.BootstrapTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	if err := h.join(ctx, bootstrap, timeout); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	joined.Store(true)
	if err := h.dht.Bootstrap(h.ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the DHT: %w", err), h.Close())
	}
	if len(bootstrap) > 0 {
		h.awaitTable(ctx)
	}
	return h, nil
}

// awaitTable gives the DHT a moment to take a bootstrap peer into its routing table; before that it finds nobody.
func (h *Host) awaitTable(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for h.dht.RoutingTable().Size() == 0 {
		select {
		case <-ctx.Done():
			h.log.Warn("no bootstrap peer takes part in the DHT", "protocol", dhtPrefix+"/kad/1.0.0")
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func newLibp2p(cfg Config, key crypto.PrivKey, listen []ma.Multiaddr) (host.Host, error) {
	var given libp2p.Config
	if err := given.Apply(cfg.Libp2p...); err != nil {
		return nil, err
	}
	agent := cfg.Agent
	if agent == "" {
		agent = "shoal"
	}
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ListenAddrs(listen...),
		libp2p.UserAgent(agent),
		libp2p.SwarmOpts(swarm.WithDialRanker(dialOrder), swarm.WithDialTimeoutLocal(localDialTimeout)),
		libp2p.DisableMetrics(),
	}
	if given.ResourceManager == nil {
		limits, err := resourceLimits()
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.ResourceManager(limits))
	}
	if cfg.NAT && !onlyLoopback(listen) {
		opts = append(opts, libp2p.NATPortMap(), libp2p.EnableAutoNATv2(), libp2p.EnableHolePunching())
	} else {
		opts = append(opts, libp2p.DisableRelay())
	}
	if cfg.Link != nil {
		dialer := &link.Dialer{Link: cfg.Link}
		opts = append(opts, libp2p.Transport(tcp.NewTCPTransport, tcp.WithDialerForAddr(func(ma.Multiaddr) (tcp.ContextDialer, error) {
			return dialer, nil
		})))
	}
	return libp2p.New(append(opts, cfg.Libp2p...)...)
}

func parseListen(addrs []string) ([]ma.Multiaddr, error) {
	if len(addrs) == 0 {
		addrs = defaultListen
	}
	out := make([]ma.Multiaddr, 0, len(addrs))
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("listen address %q: %w; want one such as /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1", s, err)
		}
		out = append(out, a)
	}
	return out, nil
}

func onlyLoopback(addrs []ma.Multiaddr) bool {
	for _, a := range addrs {
		if !manet.IsIPLoopback(a) {
			return false
		}
	}
	return true
}

// ID is this process's peer id.
func (h *Host) ID() peer.ID { return h.host.ID() }

// Libp2p is the libp2p host underneath.
func (h *Host) Libp2p() host.Host { return h.host }

// Addresses lists what others can dial, each with the peer id: what goes into another process's Config.Bootstrap.
func (h *Host) Addresses() []string {
	var out []string
	for _, a := range h.host.Addrs() {
		out = append(out, fmt.Sprintf("%s/p2p/%s", a, h.host.ID()))
	}
	return out
}

// Close leaves the swarm. Servers, announcers and directories on this host are to be closed before.
func (h *Host) Close() error {
	h.cancel()
	err := errors.Join(h.dht.Close(), h.host.Close())
	h.wg.Wait()
	return err
}
