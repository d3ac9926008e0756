package p2p

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/rdrr"
)

// run looks around until Close: often while something is missing, then every cfg.Every. A look in the DHT that is held up
// by a peer that has gone does not hold up the rest.
func (d *Directory) run() {
	pause := min(eagerLook, d.cfg.Every)
	var lookAgain time.Time
	looked := make(chan struct{}, 1)
	looking := false
	for {
		if !looking && !time.Now().Before(lookAgain) {
			looking = true
			d.wg.Go(func() {
				d.lookUp()
				looked <- struct{}{}
			})
		}
		d.lookAround()
		d.visit()
		select {
		case <-d.ctx.Done():
			return
		case <-d.poke:
			pause, lookAgain = min(eagerLook, d.cfg.Every), time.Time{}
		case <-looked:
			looking, lookAgain = false, time.Now().Add(pause)
			pause = min(2*pause, d.cfg.Every)
		case <-time.After(min(eagerLook, d.cfg.Every)):
			if d.missing() {
				pause = min(pause, 4*eagerLook)
			}
		}
	}
}

// missing reports whether somebody waits for holders, or there are none.
func (d *Directory) missing() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seeking > 0 || len(d.Holders()) == 0
}

// lookAround considers the peers that are connected and those in the book.
func (d *Directory) lookAround() {
	for _, e := range d.h.book.list(&d.cfg.Model, time.Now()) {
		d.heard(e.rec)
	}
	for _, p := range d.h.host.Network().Peers() {
		d.consider(p)
	}
}

// lookUp asks the DHT for the layers' providers.
func (d *Directory) lookUp() {
	ctx, cancel := context.WithTimeout(d.ctx, lookTimeout)
	defer cancel()
	d.h.findProviders(ctx, d.cfg.Model, d.cfg.Layers, func(p peer.AddrInfo) {
		if len(p.Addrs) > 0 {
			d.h.host.Peerstore().AddAddrs(p.ID, p.Addrs, provideValidity)
		}
		if d.consider(p.ID) {
			d.visit()
		}
	})
}

// consider remembers a peer that may hold something, and reports whether it is new.
func (d *Directory) consider(id peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.peers[id] != nil || id == d.h.ID() || len(d.peers) >= maxKnown {
		return false
	}
	d.peers[id] = &directoryPeer{id: id}
	return true
}

// heard takes a verified record of the directory's model.
func (d *Directory) heard(rec *MapRecord) {
	if rec.Peer == d.h.ID() {
		return
	}
	d.consider(rec.Peer)
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.peers[rec.Peer]
	if p == nil || p.rec != nil && !rec.Issued.After(p.rec.Issued) || !rec.Expires.After(time.Now()) {
		return
	}
	p.rec, p.others = rec, nil
	if p.remote == nil && d.ctx.Err() == nil {
		p.remote = NewRemote(d.h, peer.AddrInfo{ID: p.id}, d.cfg.Remote)
		p.remote.changed = func() { d.stream(p) }
	}
	if p.up {
		d.publish()
	}
}

// stream is told that a peer's stream opened or ended. Which of the two is asked of the Remote, because this may be called
// late.
func (d *Directory) stream(p *directoryPeer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle(p)
}

// settle puts a peer among the holders or takes it off. Called with mu held.
func (d *Directory) settle(p *directoryPeer) {
	up := p.remote != nil && p.rec != nil && p.remote.Connected()
	if p.up == up {
		return
	}
	p.up = up
	if up {
		p.err, p.fails, p.next = nil, 0, time.Time{}
	} else {
		p.next = time.Now().Add(retryFirst)
	}
	d.publish()
}

// visit starts a goroutine for each peer at which something is to be done, forgets expired records, and forgets peers that
// have turned out to hold nothing.
func (d *Directory) visit() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, p := range d.peers {
		if p.rec != nil && !p.rec.Expires.After(now) {
			p.rec = nil
			if r := p.remote; r != nil {
				p.remote = nil
				d.wg.Go(func() { _ = r.Close() })
			}
			d.settle(p)
		}
		if p.rec == nil && p.fails > 8 && d.h.host.Network().Connectedness(id) != network.Connected {
			delete(d.peers, id)
			continue
		}
		// A peer without holdings of its own may have heard of others.
		if d.seeking > 0 && p.err == nil && !p.asking && now.Sub(p.asked) > eagerLook {
			p.next, p.asked = time.Time{}, time.Time{}
		}
		if p.asking || now.Before(p.next) || p.up && now.Sub(p.asked) < d.cfg.Every && now.Before(halfLife(p.rec)) {
			continue
		}
		if d.ctx.Err() != nil {
			return
		}
		p.asking = true
		d.wg.Go(func() { d.ask(p) })
	}
}

// halfLife is when a record is due to be replaced.
func halfLife(r *MapRecord) time.Time { return r.Issued.Add(r.Expires.Sub(r.Issued) / 2) }

// ask connects to a peer, fetches its map and opens the stream if it holds something of the model.
func (d *Directory) ask(p *directoryPeer) {
	select {
	case d.work <- struct{}{}:
		defer func() { <-d.work }()
	case <-d.ctx.Done():
		return
	}
	others, err := d.fetch(p)
	d.mu.Lock()
	remote := p.remote
	d.mu.Unlock()
	if remote != nil {
		// The peer's record may be known from others while it does not answer itself; the stream decides.
		if cerr := remote.Connect(d.ctx); cerr != nil {
			err = cerr
		} else {
			err = nil
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p.asking, p.err, p.others = false, err, others
	if err == nil {
		p.fails, p.next = 0, time.Time{}
		p.asked = time.Now()
		if p.rec == nil { // it holds nothing of the model: ask again at leisure
			p.next = p.asked.Add(d.cfg.Every)
		}
		d.settle(p)
		return
	}
	p.next = time.Now().Add(min(retryFirst<<min(p.fails, 16), retryLast))
	p.fails++
}

// fetch asks a peer for the records of the model, and, if it has none, which models it has records of itself.
func (d *Directory) fetch(p *directoryPeer) (others []rdrr.Digest, err error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.cfg.Remote.withDefaults().DialTimeout)
	defer cancel()
	if err := d.h.host.Connect(ctx, peer.AddrInfo{ID: p.id}); err != nil {
		return nil, errors.New(shortDialError(p.id, err))
	}
	if verr := d.h.checkPeer(p.id, expertFamily, ExpertProtocol); errors.Is(verr, ErrOtherVersion) {
		return nil, verr
	}
	recs, err := d.h.FetchMap(ctx, p.id, &d.cfg.Model)
	if errors.Is(err, ErrNoExperts) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	own := false
	for _, rec := range recs {
		d.heard(rec)
		own = own || rec.Peer == p.id
	}
	if own {
		return nil, nil
	}
	all, err := d.h.FetchMap(ctx, p.id, nil)
	for _, rec := range all {
		if rec.Peer == p.id && rec.Model != d.cfg.Model && !slices.Contains(others, rec.Model) {
			others = append(others, rec.Model)
		}
	}
	return others, err
}

// watch considers every peer that this host meets, and looks again when one that matters is lost.
func (d *Directory) watch(met event.Subscription) {
	defer met.Close()
	for {
		select {
		case <-d.ctx.Done():
			return
		case e, ok := <-met.Out():
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				if slices.Contains(e.Protocols, MapProtocol) {
					d.consider(e.Peer)
					d.visit()
				}
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness == network.NotConnected {
					d.lost(e.Peer)
				}
			}
		}
	}
}

// lost takes a peer without a connection off the list before its stream notices.
func (d *Directory) lost(id peer.ID) {
	d.mu.Lock()
	var r *Remote
	if p := d.peers[id]; p != nil {
		r = p.remote
	}
	d.mu.Unlock()
	if r != nil {
		r.drop(errors.New("connection lost"))
	}
}
