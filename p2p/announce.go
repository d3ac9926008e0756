package p2p

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/experts"
	"shoal/rdrr"
)

// Announcement is what a node makes known of itself for one model.
type Announcement struct {
	Model          rdrr.Digest
	Holds          experts.Holdings
	CapacityBytes  uint64
	RowsPerSecond  float64 // measured; 0: not measured
	BytesPerSecond float64 // measured; 0: not measured
	Device         string
	Build          string
	Life           time.Duration // validity of each map record; 0: 5 min
}

// Announcer keeps an announcement alive: provider records in the DHT, and the signed map record that peers ask for.
type Announcer struct {
	h      *Host
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{} // holds 1: the layers changed

	mu     sync.Mutex
	what   Announcement
	issued time.Time
}

// Announce makes a first map record at once, and announces the layers in the background, again and again, until Close.
func (h *Host) Announce(what Announcement) (*Announcer, error) {
	ctx, cancel := context.WithCancel(h.ctx)
	a := &Announcer{h: h, cancel: cancel, wake: make(chan struct{}, 1)}
	if err := a.Update(what); err != nil {
		cancel()
		return nil, err
	}
	met, err := h.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	a.wg.Go(func() { a.renew(ctx) })
	a.wg.Go(func() { a.listen(ctx, met) })
	a.wg.Go(func() { a.provide(ctx) })
	return a, nil
}

// Update replaces what is announced. The model cannot change.
func (a *Announcer) Update(what Announcement) error {
	if what.Life <= 0 {
		what.Life = defaultLife
	}
	if what.Life > maxRecordLife {
		return fmt.Errorf("announce model %s: records valid for %v, at most %v", what.Model.Short(), what.Life, maxRecordLife)
	}
	what.Holds = maps.Clone(what.Holds)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.issued.IsZero() && what.Model != a.what.Model {
		return fmt.Errorf("announce model %s: this announcer speaks for model %s", what.Model.Short(), a.what.Model.Short())
	}
	more := !slices.Equal(what.Holds.Layers(), a.what.Holds.Layers())
	a.what = what
	if err := a.issue(); err != nil {
		return err
	}
	if more {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// issue signs a record of now. The issue time always grows, so that the newest record wins within a millisecond too.
func (a *Announcer) issue() error {
	now := time.Now().Truncate(time.Millisecond)
	if !now.After(a.issued) {
		now = a.issued.Add(time.Millisecond)
	}
	w := a.what
	rec := &MapRecord{
		Peer: a.h.ID(), Model: w.Model, Holds: w.Holds, CapacityBytes: w.CapacityBytes,
		RowsPerSecond: w.RowsPerSecond, BytesPerSecond: w.BytesPerSecond, Device: w.Device, Build: w.Build,
		Protocols: []string{string(ExpertProtocol), string(MapProtocol)},
		Addresses: a.h.host.Addrs(), Issued: now, Expires: now.Add(w.Life),
	}
	env, err := sealRecord(rec, a.h.key)
	if err != nil {
		return err
	}
	// Read it back as a peer will: what others would refuse is an error here.
	rec, err = openRecord(env, now)
	if err != nil {
		return err
	}
	a.issued = now
	a.h.book.put(rec, env)
	return nil
}

// renew signs a new record at half the life of the last.
func (a *Announcer) renew(ctx context.Context) {
	for {
		a.mu.Lock()
		next := a.what.Life / 2
		a.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		a.mu.Lock()
		if err := a.issue(); err != nil {
			a.h.log.Warn("map record", "error", err)
		}
		a.mu.Unlock()
	}
}

// listen asks the peers that this host meets what they hold of the model, and again at half the life of a record, so that
// whoever asks this host's map learns of them too.
func (a *Announcer) listen(ctx context.Context, met event.Subscription) {
	defer met.Close()
	a.mu.Lock()
	model := a.what.Model
	a.mu.Unlock()
	asking := make(chan struct{}, askAtOnce)
	ask := func(p peer.ID) {
		select {
		case asking <- struct{}{}:
		case <-ctx.Done():
			return
		}
		a.wg.Go(func() {
			defer func() { <-asking }()
			if _, err := a.h.FetchMap(network.WithNoDial(ctx, "gossip"), p, &model); err != nil && ctx.Err() == nil {
				a.h.log.Debug("gossip", "error", err)
			}
		})
	}
	speaks := func(p peer.ID) bool {
		got, err := a.h.host.Peerstore().SupportsProtocols(p, MapProtocol)
		return err == nil && len(got) > 0
	}
	for _, p := range a.h.host.Network().Peers() {
		if speaks(p) {
			ask(p)
		}
	}
	again := time.NewTicker(defaultLife / 2)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			for _, p := range a.h.host.Network().Peers() {
				if speaks(p) {
					ask(p)
				}
			}
		case e, ok := <-met.Out():
			if !ok {
				return
			}
			if e := e.(event.EvtPeerIdentificationCompleted); slices.Contains(e.Protocols, MapProtocol) {
				ask(e.Peer)
			}
		}
	}
}

// provide announces the layers: at once, whenever they change, every provideAgain, and while the swarm is smaller than one
// DHT bucket whenever the routing table grows, since every newcomer is then among the peers that keep our records.
func (a *Announcer) provide(ctx context.Context) {
	const look = time.Second // how often the routing table is looked at
	const bucket = 20
	var last time.Time
	known := -1
	changed := true
	for ctx.Err() == nil {
		size := a.h.dht.RoutingTable().Size()
		if changed || size > known && known < bucket || time.Since(last) > provideAgain {
			a.mu.Lock()
			model, layers := a.what.Model, a.what.Holds.Layers()
			a.mu.Unlock()
			err := a.provideOnce(ctx, model, layers)
			if err != nil && size > 0 {
				a.h.log.Debug("announce", "error", err)
			}
			known, last, changed = size, time.Now(), err != nil && size > 0
		} else {
			known = min(known, size)
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
			changed = true
		case <-time.After(look):
		}
	}
}

func (a *Announcer) provideOnce(ctx context.Context, model rdrr.Digest, layers []int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := a.h.provide(ctx, model, layers)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close stops announcing. What the DHT keeps of it ends within the hour, the map record at its expiry.
func (a *Announcer) Close() error {
	a.cancel()
	a.wg.Wait()
	a.h.book.remove(a.h.ID(), a.what.Model)
	return nil
}
