package p2p

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"

	"shoal/rdrr"
)

// lookups is how many DHT lookups run at once.
const lookups = 8

// layerKey is the DHT key under which the peers that hold experts of a layer are found: a CIDv1 (raw) of the SHA-256 of
// "shoal/layer/1/", the model digest in hex, "/" and the layer number in decimal.
func layerKey(model rdrr.Digest, layer int) cid.Cid {
	sum := sha256.Sum256(fmt.Appendf(nil, "shoal/layer/1/%s/%d", model, layer))
	m, err := mh.Encode(sum[:], mh.SHA2_256)
	if err != nil {
		panic(err) // SHA-256 with 32 bytes always encodes
	}
	return cid.NewCidV1(cid.Raw, m)
}

// provide announces this host for layers of a model and returns the first error, after all were tried.
func (h *Host) provide(ctx context.Context, model rdrr.Digest, layers []int) error {
	var g errgroup.Group
	g.SetLimit(lookups)
	for _, l := range layers {
		g.Go(func() error {
			if err := h.dht.Provide(ctx, layerKey(model, l), true); err != nil {
				return fmt.Errorf("announce model %s layer %d: %w", model.Short(), l, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// findProviders looks up who announced layers of a model and calls found, one call at a time, for each peer but this one,
// once or more.
func (h *Host) findProviders(ctx context.Context, model rdrr.Digest, layers []int, found func(peer.AddrInfo)) {
	out := make(chan peer.AddrInfo)
	var g errgroup.Group
	g.SetLimit(lookups)
	go func() {
		for _, l := range layers {
			g.Go(func() error {
				for p := range h.dht.FindProvidersAsync(ctx, layerKey(model, l), 0) {
					out <- p
				}
				return nil
			})
		}
		_ = g.Wait()
		close(out)
	}()
	for p := range out {
		if p.ID != h.ID() {
			found(p)
		}
	}
}
