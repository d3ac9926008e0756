package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/experts"
	"shoal/rdrr"
)

// DirectoryConfig says whom to look for.
type DirectoryConfig struct {
	Model  rdrr.Digest
	Layers []int         // the model's layers with routed experts
	Every  time.Duration // between looks around once all is found; 0: 15 s. While something is missing it is 0.5 s and growing
	Remote RemoteConfig
}

// ErrNoPeers is wrapped when nobody that can be reached holds experts of the model.
var ErrNoPeers = errors.New("no peer holds experts of this model")

// Directory knows who holds which experts of one model and keeps a stream open to each of them. It looks around in the
// background: providers in the DHT, what connected peers say, and what they heard from others. Whoever can be reached and
// proved what it holds is a holder; a peer stops being one the moment its stream breaks, and when its record expires.
type Directory struct {
	h   *Host
	cfg DirectoryConfig

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	poke   chan struct{} // holds 1: look around now
	work   chan struct{} // holds a token for each peer that is being asked

	holders atomic.Pointer[[]experts.Holder] // by peer id; never changed in place

	mu      sync.Mutex
	peers   map[peer.ID]*directoryPeer
	changed chan struct{} // closed and replaced with every new list of holders
	seeking int           // calls of Wait in progress
}

// directoryPeer is what is known of one peer; guarded by Directory.mu.
type directoryPeer struct {
	id     peer.ID
	rec    *MapRecord // nil: none that is valid
	remote *Remote    // nil until there is a record
	up     bool       // the stream is open
	asking bool       // a goroutine is at it
	asked  time.Time  // when its map was last received
	fails  int        // attempts since the last success
	next   time.Time  // not before
	err    error      // of the last attempt
	others []rdrr.Digest
}

const (
	eagerLook   = 500 * time.Millisecond // first pause while something is missing; it doubles up to Every
	retryFirst  = 500 * time.Millisecond // pause after a failed attempt at a peer; it doubles up to retryLast
	retryLast   = 2 * time.Minute
	lookTimeout = 20 * time.Second // for the DHT lookups of one look around
	askAtOnce   = 16               // peers asked at once
	maxKnown    = 4096             // peers remembered
)

// NewDirectory begins to look around. Close ends it and the streams that it opened.
func NewDirectory(h *Host, cfg DirectoryConfig) (*Directory, error) {
	if cfg.Every <= 0 {
		cfg.Every = 15 * time.Second
	}
	d := &Directory{
		h: h, cfg: cfg, poke: make(chan struct{}, 1), work: make(chan struct{}, askAtOnce),
		peers: map[peer.ID]*directoryPeer{}, changed: make(chan struct{}),
	}
	d.holders.Store(&[]experts.Holder{})
	met, err := h.host.EventBus().Subscribe([]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged)})
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	d.ctx, d.cancel = context.WithCancel(h.ctx)
	d.wg.Go(func() { d.watch(met) })
	d.wg.Go(d.run)
	return d, nil
}

// Close ends the search and the streams.
func (d *Directory) Close() error {
	d.cancel()
	d.mu.Lock()
	var remotes []*Remote
	for _, p := range d.peers {
		if p.remote != nil {
			remotes = append(remotes, p.remote)
		}
	}
	d.mu.Unlock()
	for _, r := range remotes {
		_ = r.Close()
	}
	d.wg.Wait()
	return nil
}

// Holders lists who can run experts now, by peer id. It only reads memory; the list is the caller's to read, not to change.
func (d *Directory) Holders() []experts.Holder { return *d.holders.Load() }

// Refresh looks around now instead of at the next turn.
func (d *Directory) Refresh() {
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

// Wait returns when the holders are what the caller wants, such as [Covered]. When ctx ends before, its error tells whom
// the directory found and why they do not do.
func (d *Directory) Wait(ctx context.Context, want func([]experts.Holder) bool) error {
	d.mu.Lock()
	d.seeking++
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.seeking--
		d.mu.Unlock()
	}()
	d.Refresh()
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		if want(d.Holders()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return d.explain(ctx.Err())
		case <-d.ctx.Done():
			return d.explain(errors.New("the directory is closed"))
		}
	}
}

// explain says what was found when it was not enough.
func (d *Directory) explain(why error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	model := d.cfg.Model.Short()
	var up int
	var lines []string
	var causes []error
	for _, p := range d.peers {
		switch {
		case p.up:
			up++
		case len(p.others) > 0 && p.rec == nil:
			causes = append(causes, experts.ErrWrongModel)
			lines = append(lines, fmt.Sprintf("peer %s holds experts of model %s, not of %s", p.id, digests(p.others), model))
		case p.err != nil:
			for _, e := range []error{ErrOtherVersion, experts.ErrGone} {
				if errors.Is(p.err, e) {
					causes = append(causes, e)
				}
			}
			if text := p.err.Error(); strings.Contains(text, p.id.String()) {
				lines = append(lines, text)
			} else {
				lines = append(lines, fmt.Sprintf("peer %s: %v", p.id, p.err))
			}
		}
	}
	slices.Sort(lines)
	detail := ""
	if len(lines) > 0 {
		detail = "\n  " + strings.Join(lines[:min(len(lines), 10)], "\n  ")
	}
	if up == 0 {
		connected := len(d.h.host.Network().Peers())
		hint := "start a node with this model, or check --bootstrap"
		if connected == 0 {
			hint = "this process is connected to nobody: give --bootstrap with the address that a node printed"
		}
		all := append([]error{ErrNoPeers, why}, causes...)
		return &explained{fmt.Sprintf("%v (model %s, %d peers connected): %v; %s%s", ErrNoPeers, model, connected, why, hint, detail), all}
	}
	return &explained{fmt.Sprintf("%d peers hold experts of model %s, which is not enough: %v%s", up, model, why, detail), append(causes, why)}
}

func digests(ds []rdrr.Digest) string {
	var s []string
	for _, d := range ds[:min(len(ds), 4)] {
		s = append(s, d.Short())
	}
	return strings.Join(s, ", ")
}

// publish makes the list of holders anew and wakes those who wait. Called with mu held.
func (d *Directory) publish() {
	list := []experts.Holder{}
	for _, p := range d.peers {
		if p.up && p.rec != nil {
			list = append(list, experts.Holder{Peer: p.id.String(), Holds: p.rec.Holds, Runner: p.remote})
		}
	}
	slices.SortFunc(list, func(a, b experts.Holder) int { return strings.Compare(a.Peer, b.Peer) })
	d.holders.Store(&list)
	close(d.changed)
	d.changed = make(chan struct{})
}

// DirectoryPeer is what the directory knows of one peer, for people.
type DirectoryPeer struct {
	ID        peer.ID
	Addresses []ma.Multiaddr
	Record    *MapRecord // nil: it holds nothing of this model, or its record expired
	Connected bool       // it is among the holders
	Transport string     // "tcp", "quic-v1" or "relay" of the open connection
	Agent     string     // program and version
	Traffic   Traffic
	Err       error // why it is not among the holders
}

// Peers lists every peer that holds or held experts of the model, by peer id.
func (d *Directory) Peers() []DirectoryPeer {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []DirectoryPeer
	for _, p := range d.peers {
		if p.remote == nil {
			continue
		}
		info := DirectoryPeer{ID: p.id, Record: p.rec, Connected: p.up, Err: p.err, Traffic: p.remote.Traffic()}
		info.Addresses = d.h.host.Peerstore().Addrs(p.id)
		if v, err := d.h.host.Peerstore().Get(p.id, "AgentVersion"); err == nil {
			if s, ok := v.(string); ok {
				info.Agent = recordText(s)
			}
		}
		if conns := d.h.host.Network().ConnsToPeer(p.id); len(conns) > 0 {
			info.Transport = transportOf(conns[0])
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b DirectoryPeer) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return out
}

func transportOf(c network.Conn) string {
	a := c.RemoteMultiaddr()
	for _, p := range []struct {
		code int
		name string
	}{{ma.P_CIRCUIT, "relay"}, {ma.P_QUIC_V1, "quic-v1"}, {ma.P_TCP, "tcp"}} {
		if _, err := a.ValueForProtocol(p.code); err == nil {
			return p.name
		}
	}
	return a.String()
}

// Covered is a condition for [Directory.Wait]: every expert of the model has a holder.
func Covered(moe rdrr.MoE) func([]experts.Holder) bool {
	return func(hs []experts.Holder) bool { return len(experts.Uncovered(moe, hs)) == 0 }
}
