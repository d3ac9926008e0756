package p2p

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"shoal/proto/shoalpb"
	"shoal/rdrr"
)

// Limits of the map protocol.
const (
	maxMapRequest = 1 << 10
	maxMapReply   = 1 << 20
	mapTimeout    = 10 * time.Second // for one exchange
)

// serveMap answers one request on a stream: this host's own records and those it heard of.
func (h *Host) serveMap(s network.Stream) {
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(mapTimeout))
	var req shoalpb.MapRequest
	if err := readProto(s, &req, maxMapRequest); err != nil {
		_ = s.Reset()
		return
	}
	var model *rdrr.Digest
	if len(req.Model) > 0 {
		model = new(rdrr.Digest)
		if len(req.Model) != len(model) {
			_ = s.Reset()
			return
		}
		copy(model[:], req.Model)
	}
	var reply shoalpb.MapReply
	size := 0
	for _, e := range h.book.list(model, time.Now()) {
		size += len(e.envelope) + 8
		if size > maxMapReply {
			break
		}
		reply.Envelopes = append(reply.Envelopes, e.envelope)
	}
	if err := writeProto(s, &reply); err != nil {
		_ = s.Reset()
	}
}

// FetchMap asks a connected peer for the map records it knows, of one model or, with nil, of all. Records that do not verify
// are left out and logged; the others are remembered and told further. Addresses in them go to the peerstore.
func (h *Host) FetchMap(ctx context.Context, p peer.ID, model *rdrr.Digest) ([]*MapRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, mapTimeout)
	defer cancel()
	s, err := h.host.NewStream(ctx, p, MapProtocol)
	if err != nil {
		if verr := h.checkPeer(p, mapFamily, MapProtocol); verr != nil {
			return nil, verr
		}
		return nil, fmt.Errorf("peer %s: map: %w", p, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	req := &shoalpb.MapRequest{}
	if model != nil {
		req.Model = model[:]
	}
	var reply shoalpb.MapReply
	if err := writeProto(s, req); err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("peer %s: map: %w", p, err)
	}
	_ = s.CloseWrite()
	if err := readProto(s, &reply, maxMapReply); err != nil {
		_ = s.Reset()
		return nil, fmt.Errorf("peer %s: map: %w", p, err)
	}
	return h.learn(p, model, reply.Envelopes), nil
}

// learn verifies records that peer from sent.
func (h *Host) learn(from peer.ID, model *rdrr.Digest, envelopes [][]byte) []*MapRecord {
	now := time.Now()
	var out []*MapRecord
	for _, env := range envelopes {
		rec, err := openRecord(env, now)
		if err != nil {
			h.log.Debug("map record refused", "from", from, "reason", err)
			continue
		}
		if rec.Peer == h.ID() || model != nil && rec.Model != *model {
			continue
		}
		if h.book.put(rec, env) && len(rec.Addresses) > 0 {
			h.host.Peerstore().AddAddrs(rec.Peer, rec.Addresses, rec.Expires.Sub(now))
		}
		out = append(out, rec)
	}
	return out
}

// writeProto sends a message with its length before it, in one Write.
func writeProto(w io.Writer, m proto.Message) error {
	b := protowire.AppendVarint(nil, uint64(proto.Size(m)))
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// readProto reads one message of at most limit bytes.
func readProto(r io.Reader, m proto.Message, limit int) error {
	br := bufio.NewReader(r)
	n, err := readLength(br)
	if err != nil {
		return err
	}
	if n > limit {
		return malformed("%d bytes, at most %d", n, limit)
	}
	buf, err := readBody(br, n)
	if err != nil {
		return err
	}
	defer buf.free()
	return proto.Unmarshal(buf.b, m)
}
