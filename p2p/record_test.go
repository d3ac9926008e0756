package p2p

import (
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"shoal/experts"
)

func newKey(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, id
}

func sampleRecord(id peer.ID, now time.Time) *MapRecord {
	return &MapRecord{
		Peer: id, Model: testModel, Holds: experts.Holdings{0: experts.SetOf(0, 9, 70), 47: experts.SetOf(127)},
		CapacityBytes: 1 << 33, RowsPerSecond: 1234.5, BytesPerSecond: 9e10, Device: "a device", Build: "v1.2",
		Protocols: []string{string(ExpertProtocol)}, Addresses: []ma.Multiaddr{ma.StringCast("/ip4/192.0.2.7/tcp/4001")},
		Issued: now.Truncate(time.Millisecond), Expires: now.Add(time.Minute).Truncate(time.Millisecond),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	key, id := newKey(t)
	now := time.Now()
	want := sampleRecord(id, now)
	env, err := sealRecord(want, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := openRecord(env, now)
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{
		cmp.Comparer(func(a, b ma.Multiaddr) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	}
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Error(diff)
	}
}

func TestRecordRefused(t *testing.T) {
	key, id := newKey(t)
	_, stranger := newKey(t)
	now := time.Now()
	for name, c := range map[string]struct {
		change func(*MapRecord)
		text   string
	}{
		"of another peer":       {func(r *MapRecord) { r.Peer = stranger }, "another peer signed it"},
		"expired":               {func(r *MapRecord) { r.Issued, r.Expires = now.Add(-time.Hour), now.Add(-time.Second) }, "expired"},
		"ends before it begins": {func(r *MapRecord) { r.Expires = r.Issued }, "valid for"},
		"for too long":          {func(r *MapRecord) { r.Expires = r.Issued.Add(2 * time.Hour) }, "valid for"},
		"from the future": {func(r *MapRecord) {
			r.Issued, r.Expires = now.Add(clockSkew+time.Minute), now.Add(clockSkew+2*time.Minute)
		}, "clocks"},
		"speed":           {func(r *MapRecord) { r.RowsPerSecond = math.NaN() }, "speed"},
		"negative speed":  {func(r *MapRecord) { r.BytesPerSecond = -1 }, "speed"},
		"layer number":    {func(r *MapRecord) { r.Holds[maxLayers] = experts.SetOf(1) }, "layer"},
		"expert number":   {func(r *MapRecord) { r.Holds[1] = experts.SetOf(maxLayerExperts) }, "bitmap"},
		"many protocols":  {func(r *MapRecord) { r.Protocols = make([]string, maxProtocols+1) }, "protocols"},
		"terminal escape": {func(r *MapRecord) { r.Protocols = []string{"\x1b[2J"} }, "text"},
		"long text":       {func(r *MapRecord) { r.Protocols = []string{strings.Repeat("p", maxRecordText+1)} }, "text"},
	} {
		r := sampleRecord(id, now)
		c.change(r)
		env, err := sealRecord(r, key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := openRecord(env, now); !errors.Is(err, ErrBadRecord) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	env, _ := sealRecord(sampleRecord(id, now), key)
	if _, err := openRecord(env, now); err != nil {
		t.Error(err)
	}
	for i := range env {
		bad := append([]byte(nil), env...)
		bad[i] ^= 0x10
		if _, err := openRecord(bad, now); !errors.Is(err, ErrBadRecord) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	if _, err := openRecord(make([]byte, maxEnvelope+1), now); !errors.Is(err, ErrBadRecord) {
		t.Error(err)
	}
}

// A signature made for another purpose, under libp2p's own domain, does not pass for a map record.
func TestRecordDomain(t *testing.T) {
	key, id := newKey(t)
	env, err := record.Seal(peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: id}), key)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := env.Marshal()
	if _, err := openRecord(b, time.Now()); !errors.Is(err, ErrBadRecord) {
		t.Error(err)
	}
}

func TestRecordBook(t *testing.T) {
	_, self := newKey(t)
	_, other := newKey(t)
	now := time.Now()
	b := newRecordBook(self)
	mine, old, newer := sampleRecord(self, now), sampleRecord(other, now), sampleRecord(other, now.Add(time.Second))
	mine.Issued = mine.Issued.Add(-time.Minute / 2)
	if !b.put(newer, nil) || b.put(old, nil) || !b.put(mine, nil) {
		t.Error("the newest record does not win")
	}
	if l := b.list(&testModel, now); len(l) != 2 || l[0].rec != mine || l[1].rec != newer {
		t.Errorf("%d records", len(l))
	}
	if l := b.list(nil, now.Add(time.Minute+time.Millisecond)); len(l) != 1 || l[0].rec != newer {
		t.Errorf("%d records after the first expired", len(l))
	}
	for i := range maxRecords + 10 {
		r := sampleRecord(peer.ID(string(rune(i))+"x"), now.Add(time.Duration(i)*time.Millisecond))
		b.put(r, nil)
	}
	if l := b.list(nil, now); len(l) > maxRecords {
		t.Errorf("%d records kept", len(l))
	}
}

func FuzzMapRecord(f *testing.F) {
	_, id := newKey(f)
	good, err := sampleRecord(id, time.Unix(1<<31, 0)).MarshalRecord()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{0x1a, 0x02, 0x08, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r MapRecord
		if r.UnmarshalRecord(b) != nil {
			return
		}
		again, err := r.MarshalRecord()
		if err != nil {
			t.Fatal(err)
		}
		var s MapRecord
		if err := s.UnmarshalRecord(again); err != nil {
			t.Fatalf("refuses what it wrote: %v", err)
		}
		if r.Holds.Count() != s.Holds.Count() || r.Peer != s.Peer || !r.Expires.Equal(s.Expires) {
			t.Fatalf("%+v became %+v", r, s)
		}
	})
}
