package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"shoal/cmd/internal/setup"
	"shoal/model"
	"shoal/p2p"
	"shoal/router"
)

// wires are the encodings that are compared, and what each may cost in logits: the mean square error of the
// fixtures' logits, relative to their mean square. Fixtures have random weights and few layers, so that a row that is routed to
// another expert because of a rounding weighs more than in a trained model: without one, bf16 stays under 1e-4.
var wires = []struct {
	name  string
	wire  p2p.Wire
	limit float64
}{
	{"f32", p2p.WireF32, 1e-6},
	{"bf16", p2p.WireBF16, 2e-2},
	{"int8, blocks of 128 up, 64 down", p2p.WireInt8, 2e-2},
	{"int8, blocks of 64", p2p.Wire{Up: p2p.Int8x64, Down: p2p.Int8x64}, 2e-2},
	{"int8, blocks of 128", p2p.Wire{Up: p2p.Int8x128, Down: p2p.Int8x128}, 2e-2},
}

// TestWireErrors runs MoE fixtures with their experts behind a connection, in every encoding, and compares the logits with the
// reference's: small fixtures always, larger ones where they are.
func TestWireErrors(t *testing.T) {
	folders, _ := filepath.Glob("../../testdata/fixtures-small/*")
	larger, _ := filepath.Glob("../../../shared/fixtures/*")
	compared := 0
	for _, folder := range append(folders, larger...) {
		if _, err := os.Stat(filepath.Join(folder, "reference.safetensors")); err != nil {
			continue
		}
		name := filepath.Base(filepath.Dir(folder)) + "/" + filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "model")
			if err := (&convertCommand{Input: folder, Output: dir, Quantize: "none", To: "rdrr"}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			engine, err := setup.EngineFlags{Model: dir, Mode: "fast", DeviceFlags: setup.DeviceFlags{Device: "cpu"}}.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(engine.Close)
			if engine.Model.MoE() == nil {
				t.Skip("dense")
			}
			compared++
			reference, err := readReference(filepath.Join(folder, "reference.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			compareWires(t, engine, reference)
		})
	}
	if compared == 0 {
		t.Error("no MoE fixture was found")
	}
}

// compareWires serves an engine's own experts on loopback and runs its trunk against them.
func compareWires(t *testing.T, engine *setup.Engine, reference *model.Reference) {
	host := func() *p2p.Host {
		h, err := p2p.NewHost(t.Context(), p2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		return h
	}
	node, coordinator := host(), host()
	digest, moe := engine.Model.Digest(), engine.Model.MoE()
	server, err := p2p.NewServer(node, p2p.ServerConfig{}, p2p.Served{Model: digest, MoE: *moe, Runner: engine.Local})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	config := router.Config{Model: digest, MoE: moe, Mode: router.Fast}
	var plain *model.Report
	for _, w := range wires {
		remote := p2p.NewRemote(coordinator, peer.AddrInfo{ID: node.ID(), Addrs: node.Libp2p().Addrs()}, p2p.RemoteConfig{Wire: w.wire})
		subject := model.Subject{Trunk: engine.Trunk, Experts: func(ctx context.Context, s *model.Sequence, layer int, h []float32, r model.Routes) error {
			y, err := remote.Run(ctx, config.Batch(layer, h, r))
			if err != nil {
				return err
			}
			return s.CombineSum(layer, y)
		}}
		got, err := model.Verify(t.Context(), subject, reference, w.limit)
		_ = remote.Close()
		if err != nil {
			t.Fatal(err)
		}
		if plain == nil {
			plain = got
		}
		t.Logf("%-32s logits NMSE %8.2g, best token %5.1f %%, experts %5.1f %%, greedy %d of %d", w.name,
			got.LogitsNMSE, 100*got.Top1Agreement, 100*got.RouterAgreement, got.GreedyAgreed, got.GreedyTotal)
		if !(got.LogitsNMSE <= w.limit+plain.LogitsNMSE) {
			t.Errorf("%s: logits are off by %.2g of their mean square, %.2g is allowed", w.name, got.LogitsNMSE, w.limit)
		}
	}
}
