package p2p

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/rdrr"
)

// maxRecords bounds the records that a host remembers; a full book drops the one that expires first.
const maxRecords = 2048

type recordKey struct {
	peer  peer.ID
	model rdrr.Digest
}

type bookEntry struct {
	rec      *MapRecord
	envelope []byte
}

// recordBook holds the verified records that this host knows, the newest for each peer and model.
type recordBook struct {
	self peer.ID

	mu      sync.Mutex
	entries map[recordKey]bookEntry
}

func newRecordBook(self peer.ID) *recordBook {
	return &recordBook{self: self, entries: map[recordKey]bookEntry{}}
}

// put keeps a verified record if it is newer than what is known, and reports whether it did.
func (b *recordBook) put(rec *MapRecord, envelope []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := recordKey{rec.Peer, rec.Model}
	if old, ok := b.entries[k]; ok && !rec.Issued.After(old.rec.Issued) {
		return false
	}
	if _, ok := b.entries[k]; !ok && len(b.entries) >= maxRecords {
		b.dropFirst()
	}
	b.entries[k] = bookEntry{rec, envelope}
	return true
}

// dropFirst makes room: the record of another peer that expires first goes.
func (b *recordBook) dropFirst() {
	var first recordKey
	var at time.Time
	for k, e := range b.entries {
		if k.peer != b.self && (at.IsZero() || e.rec.Expires.Before(at)) {
			first, at = k, e.rec.Expires
		}
	}
	delete(b.entries, first)
}

func (b *recordBook) remove(p peer.ID, model rdrr.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, recordKey{p, model})
}

// list returns the records that are valid at now, of one model or, with nil, of all: own ones first, then the newest.
// Expired ones are forgotten.
func (b *recordBook) list(model *rdrr.Digest, now time.Time) []bookEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []bookEntry
	for k, e := range b.entries {
		if !e.rec.Expires.After(now) {
			delete(b.entries, k)
		} else if model == nil || k.model == *model {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, c bookEntry) int {
		if own := cmp.Compare(b.rank(a), b.rank(c)); own != 0 {
			return own
		}
		return c.rec.Issued.Compare(a.rec.Issued)
	})
	return out
}

func (b *recordBook) rank(e bookEntry) int {
	if e.rec.Peer == b.self {
		return 0
	}
	return 1
}
