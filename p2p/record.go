package p2p

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"shoal/experts"
	"shoal/proto/shoalpb"
	"shoal/rdrr"
)

// What a map record may be. A record over a limit is refused, not cut.
const (
	recordDomain    = "shoal-map-record"
	recordType      = "/shoal/map-record/1"
	maxEnvelope     = 64 << 10        // bytes of one signed record
	maxLayers       = 1 << 12         // layers named in a record; layer numbers are below it too
	maxLayerExperts = 1 << 14         // expert numbers are below it
	maxRecordText   = 128             // bytes of device, build and each protocol
	maxProtocols    = 16              //
	maxAddresses    = 32              //
	maxRecordLife   = time.Hour       // from issue to expiry
	clockSkew       = 2 * time.Minute // how far ahead of ours the issuer's clock may be
	defaultLife     = 5 * time.Minute // of the records issued here
)

// ErrBadRecord is wrapped by every reason to refuse a map record.
var ErrBadRecord = errors.New("map record refused")

// MapRecord is what one peer says of itself and one model, signed by it.
type MapRecord struct {
	Peer           peer.ID
	Model          rdrr.Digest
	Holds          experts.Holdings
	CapacityBytes  uint64  // memory lent
	RowsPerSecond  float64 // measured: rows through one expert each second; 0: not measured
	BytesPerSecond float64 // measured: weight bytes read each second; 0: not measured
	Device         string
	Build          string
	Protocols      []string
	Addresses      []ma.Multiaddr // where the peer can be dialled
	Issued         time.Time
	Expires        time.Time
}

// Domain, Codec, MarshalRecord and UnmarshalRecord make a MapRecord the payload of a libp2p envelope.
func (r *MapRecord) Domain() string { return recordDomain }

// Codec is the envelope's payload type.
func (r *MapRecord) Codec() []byte { return []byte(recordType) }

// MarshalRecord writes the record as protobuf.
func (r *MapRecord) MarshalRecord() ([]byte, error) {
	m := &shoalpb.MapRecord{
		Peer: []byte(r.Peer), Model: r.Model[:], CapacityBytes: r.CapacityBytes,
		RowsPerSecond: r.RowsPerSecond, BytesPerSecond: r.BytesPerSecond,
		Device: recordText(r.Device), Build: recordText(r.Build), Protocols: r.Protocols,
		IssuedUnixMs: r.Issued.UnixMilli(), ExpiresUnixMs: r.Expires.UnixMilli(),
	}
	for _, l := range r.Holds.Layers() {
		m.Layers = append(m.Layers, &shoalpb.HeldLayer{Layer: uint32(l), Experts: bitmap(r.Holds[l])})
	}
	for _, a := range r.Addresses[:min(len(r.Addresses), maxAddresses)] {
		m.Addresses = append(m.Addresses, a.Bytes())
	}
	return proto.Marshal(m)
}

// UnmarshalRecord reads what MarshalRecord wrote and refuses what is over a limit.
func (r *MapRecord) UnmarshalRecord(data []byte) error {
	if len(data) > maxEnvelope {
		return fmt.Errorf("%w: %d bytes", ErrBadRecord, len(data))
	}
	var m shoalpb.MapRecord
	if err := proto.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrBadRecord, err)
	}
	id, err := peer.IDFromBytes(m.Peer)
	if err != nil {
		return fmt.Errorf("%w: peer id: %w", ErrBadRecord, err)
	}
	switch {
	case len(m.Model) != len(r.Model):
		return fmt.Errorf("%w: model digest of %d bytes", ErrBadRecord, len(m.Model))
	case len(m.Layers) > maxLayers || len(m.Protocols) > maxProtocols || len(m.Addresses) > maxAddresses:
		return fmt.Errorf("%w: %d layers, %d protocols, %d addresses", ErrBadRecord, len(m.Layers), len(m.Protocols), len(m.Addresses))
	case !speed(m.RowsPerSecond) || !speed(m.BytesPerSecond):
		return fmt.Errorf("%w: speed %v rows/s, %v bytes/s", ErrBadRecord, m.RowsPerSecond, m.BytesPerSecond)
	}
	for _, s := range append([]string{m.Device, m.Build}, m.Protocols...) {
		if len(s) > maxRecordText || s != printable(s) {
			return fmt.Errorf("%w: text %.*q", ErrBadRecord, maxRecordText, s)
		}
	}
	*r = MapRecord{
		Peer: id, Model: rdrr.Digest(m.Model), Holds: experts.Holdings{},
		CapacityBytes: m.CapacityBytes, RowsPerSecond: m.RowsPerSecond, BytesPerSecond: m.BytesPerSecond,
		Device: m.Device, Build: m.Build, Protocols: m.Protocols,
		Issued: time.UnixMilli(m.IssuedUnixMs), Expires: time.UnixMilli(m.ExpiresUnixMs),
	}
	last := -1
	for _, l := range m.Layers {
		if int(l.Layer) <= last || l.Layer >= maxLayers || len(l.Experts) > maxLayerExperts/8 {
			return fmt.Errorf("%w: layer %d after %d with a bitmap of %d bytes", ErrBadRecord, l.Layer, last, len(l.Experts))
		}
		last = int(l.Layer)
		if s := setOf(l.Experts); s.Len() > 0 {
			r.Holds[last] = s
		}
	}
	for _, b := range m.Addresses {
		a, err := ma.NewMultiaddrBytes(b)
		if err != nil {
			return fmt.Errorf("%w: address: %w", ErrBadRecord, err)
		}
		r.Addresses = append(r.Addresses, a)
	}
	return nil
}

// sealRecord signs the record.
func sealRecord(r *MapRecord, key crypto.PrivKey) ([]byte, error) {
	env, err := record.Seal(r, key)
	if err != nil {
		return nil, fmt.Errorf("sign map record: %w", err)
	}
	b, err := env.Marshal()
	if err == nil && len(b) > maxEnvelope {
		return nil, fmt.Errorf("sign map record: %d bytes, at most %d", len(b), maxEnvelope)
	}
	return b, err
}

// openRecord reads a signed record and refuses it unless the peer that it speaks of signed it and it is valid now.
func openRecord(envelope []byte, now time.Time) (*MapRecord, error) {
	if len(envelope) > maxEnvelope {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrBadRecord, len(envelope), maxEnvelope)
	}
	r := new(MapRecord)
	env, err := record.ConsumeTypedEnvelope(envelope, r)
	if err != nil {
		if !errors.Is(err, ErrBadRecord) {
			err = fmt.Errorf("%w: %w", ErrBadRecord, err)
		}
		return nil, err
	}
	if string(env.PayloadType) != recordType {
		return nil, fmt.Errorf("%w: payload type %q", ErrBadRecord, env.PayloadType)
	}
	if !r.Peer.MatchesPublicKey(env.PublicKey) {
		return nil, fmt.Errorf("%w: it speaks of peer %s, another peer signed it", ErrBadRecord, r.Peer)
	}
	life := r.Expires.Sub(r.Issued)
	switch {
	case life <= 0 || life > maxRecordLife:
		return nil, fmt.Errorf("%w: peer %s: valid for %v, at most %v", ErrBadRecord, r.Peer, life, maxRecordLife)
	case r.Issued.After(now.Add(clockSkew)):
		return nil, fmt.Errorf("%w: peer %s: issued %v in the future; one of the two clocks is wrong", ErrBadRecord, r.Peer, r.Issued.Sub(now).Round(time.Second))
	case !r.Expires.After(now):
		return nil, fmt.Errorf("%w: peer %s: expired %v ago", ErrBadRecord, r.Peer, now.Sub(r.Expires).Round(time.Second))
	}
	return r, nil
}

func speed(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }

// recordText makes text fit for a record.
func recordText(s string) string {
	s = printable(strings.ToValidUTF8(s, " "))
	for len(s) > maxRecordText {
		s = strings.ToValidUTF8(s[:maxRecordText], "")
	}
	return s
}

// bitmap writes a set as bytes: expert e is bit e%8 of byte e/8.
func bitmap(s experts.Set) []byte {
	b := make([]byte, 8*len(s))
	for i, w := range s {
		for j := range 8 {
			b[8*i+j] = byte(w >> (8 * j))
		}
	}
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

func setOf(bitmap []byte) experts.Set {
	s := make(experts.Set, (len(bitmap)+7)/8)
	for i, v := range bitmap {
		s[i/8] |= uint64(v) << (8 * (i % 8))
	}
	return s
}
