package setup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"shoal/cmd/internal/console"
	"shoal/experts/host"
	"shoal/gpu"
	"shoal/model"
	"shoal/p2p"
	"shoal/rdrr"
	"shoal/router"
)

// EngineFlags choose a model and who runs its experts.
type EngineFlags struct {
	Model string `default:"demo" placeholder:"DIR" help:"Artifact (default: the small embedded demo model)."`
	DeviceFlags
	NetworkFlags
	LinkFlags
	Mode        string        `enum:"exact,fast" default:"fast" help:"exact: float32, the tokens of one machine. fast: fewer bytes (--wire) and one sum per peer."`
	Wire        string        `enum:"auto,f32,bf16,int8" default:"auto" help:"How activations travel in fast mode: f32, bf16, int8, or auto: bf16, and int8 where the line is slow."`
	Local       string        `placeholder:"LIST" help:"Layers whose experts this process holds itself, such as 0,1,46-47. Without --bootstrap it holds all."`
	LocalMemory console.Size  `placeholder:"SIZE" help:"Memory for whole layers of experts in this process, such as 8GB: as many as fit, the first and the last first."`
	Wait        time.Duration `default:"20s" help:"How long to look for peers until every expert has one."`
}

// Engine is a model that is ready to generate: trunk on a device, experts here or in the swarm.
type Engine struct {
	Model     *rdrr.Model
	Device    gpu.Device
	Trunk     *model.Trunk
	Local     *host.Host     // nil: no experts in this process
	Directory *p2p.Directory // nil: alone
	config    router.Config
	guesses   speculation
	closers   []func()
}

// Open loads the model and, with a bootstrap address, joins the swarm and waits until every expert has a holder.
func (f EngineFlags) Open(ctx context.Context) (_ *Engine, err error) {
	e := &Engine{}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if e.Model, err = OpenModel(f.Model); err != nil {
		return nil, err
	}
	e.onClose(func() { _ = e.Model.Close() })
	if e.Device, err = f.DeviceFlags.Open(); err != nil {
		return nil, err
	}
	e.onClose(e.Device.Close)
	if err := e.loadTrunk(); err != nil {
		return nil, err
	}
	for _, warning := range e.Trunk.Spec().Warnings {
		console.Warn("%s", warning)
	}
	if e.config.MoE == nil {
		return e, nil // dense: everything is in the trunk
	}
	if e.config.Mode, err = router.ParseMode(f.Mode); err != nil {
		return nil, err
	}
	layers, err := f.localLayers(e)
	if err != nil {
		return nil, err
	}
	if err := e.loadExperts(ctx, layers); err != nil {
		return nil, err
	}
	if len(f.Bootstrap) == 0 {
		return e, nil
	}
	return e, e.join(ctx, f)
}

// OpenDecoded makes an engine for an open model with all its weights decoded to float32, alone, on the CPU.
func OpenDecoded(ctx context.Context, m *rdrr.Model, threads int) (_ *Engine, err error) {
	e := &Engine{Model: m, Device: NewDecoded(threads)}
	e.onClose(e.Device.Close)
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	if err := e.loadTrunk(); err != nil {
		return nil, err
	}
	if e.config.MoE == nil {
		return e, nil
	}
	return e, e.loadExperts(ctx, e.config.MoE.Layers)
}

func (e *Engine) loadTrunk() (err error) {
	if e.Trunk, err = model.Load(e.Device, e.Model, model.Options{}); err != nil {
		return err
	}
	e.onClose(e.Trunk.Close)
	e.config = router.Config{Model: e.Model.Digest(), Layers: len(e.Trunk.Spec().Layers), MoE: e.Model.MoE()}
	return nil
}

// loadExperts loads all experts of the given layers.
func (e *Engine) loadExperts(ctx context.Context, layers []int) (err error) {
	if len(layers) == 0 {
		return nil
	}
	moe := e.config.MoE
	if e.Local, err = host.New(e.Device, e.Model); err != nil {
		return err
	}
	e.onClose(e.Local.Close)
	all := make([]int, moe.Experts)
	for i := range all {
		all[i] = i
	}
	progress := console.NewProgress("loading", console.Bytes)
	defer progress.Done()
	perLayer := int64(moe.Experts) * e.Local.ExpertBytes()
	for i, layer := range layers {
		if err := e.Local.Load(ctx, layer, all); err != nil {
			return err
		}
		progress.Set(int64(i+1)*perLayer, int64(len(layers))*perLayer, fmt.Sprintf("layer %d", layer))
	}
	e.config.Device = func(layer int) (model.LayerExperts, bool) {
		l, ok := e.Local.Layer(layer)
		return l, ok
	}
	return nil
}

// join finds the peers that hold the other experts.
func (e *Engine) join(ctx context.Context, f EngineFlags) (err error) {
	if f.Link, err = f.LinkFlags.Open(); err != nil {
		return err
	}
	network, err := f.NetworkFlags.Join(ctx, false)
	if err != nil {
		return err
	}
	e.onClose(func() { _ = network.Close() })
	var remote p2p.RemoteConfig
	if remote.Wire, err = ParseWire(f.Wire, f.Mode); err != nil {
		return err
	}
	e.Directory, err = p2p.NewDirectory(network, p2p.DirectoryConfig{Model: e.Model.Digest(), Layers: e.config.MoE.Layers, Remote: remote})
	if err != nil {
		return err
	}
	e.onClose(func() { _ = e.Directory.Close() })
	swarm := router.NewSwarm(router.SwarmConfig{Model: e.Model.Digest(), MoE: *e.config.MoE, Directory: e.Directory})
	e.config.Experts = swarm
	e.followPlans(swarm)

	elsewhere := e.config.Elsewhere()
	wait, cancel := context.WithTimeout(ctx, f.Wait)
	defer cancel()
	if err := e.Directory.Wait(wait, p2p.Covered(elsewhere)); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if missing := router.Uncovered(elsewhere, e.Directory.Holders()); len(missing) > 0 && len(e.Directory.Holders()) > 0 {
			return errors.Join(&router.MissingError{Missing: missing}, err)
		}
		return err
	}
	return nil
}

// Remote reports whether some experts are elsewhere.
func (e *Engine) Remote() bool { return e.Directory != nil }

// Subject is the engine as model.Verify takes it.
func (e *Engine) Subject() model.Subject {
	return model.Subject{Trunk: e.Trunk, Experts: e.runExperts}
}

// runExperts runs the routed experts of one layer, wherever they are.
func (e *Engine) runExperts(ctx context.Context, s *model.Sequence, layer int, h []float32, r model.Routes) error {
	if local, ok := e.config.OnDevice(layer); ok {
		return s.Experts(layer, local)
	}
	y, err := e.config.Experts.Run(ctx, e.config.Batch(layer, h, r))
	if err != nil {
		return err
	}
	return s.Combine(layer, y)
}

// Session is a sequence of tokens with its router. Close frees its cache.
type Session struct {
	*router.Session
	seq, draft *model.Sequence // draft is nil unless a model guesses
}

// NewSession makes a session with room for that many tokens, at most the model's context.
func (e *Engine) NewSession(positions int) (*Session, error) {
	seq, err := e.Trunk.NewSequence(min(positions, e.Trunk.Spec().MaxPositions))
	if err != nil {
		return nil, err
	}
	s := &Session{seq: seq}
	config := e.config
	config.Chunk = e.Trunk.Rows()
	config.Draft = e.guesses.length
	if config.Drafters, s.draft, err = e.drafters(positions); err != nil {
		s.Close()
		return nil, err
	}
	if s.Session, err = router.NewSession(seq, config); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close frees the session's cache.
func (s *Session) Close() {
	s.seq.Close()
	if s.draft != nil {
		s.draft.Close()
	}
}

func (e *Engine) onClose(f func()) { e.closers = append(e.closers, f) }

// Close ends everything that Open began, in reverse order.
func (e *Engine) Close() {
	for i := len(e.closers) - 1; i >= 0; i-- {
		e.closers[i]()
	}
	e.closers = nil
}

// ComputedBytes is what the engine's weights, the KV cache of a session of that many positions, and prompts of that many tokens with
// decoding after them should take on the device.
func (e *Engine) ComputedBytes(positions, prompt int) int64 {
	spec := e.Trunk.Spec()
	n, _ := WeightBytes(e.Model, spec)
	n += spec.CacheBytes(positions)
	seen := 0
	for _, tokens := range []int{prompt, 1} {
		bytes, rows := e.Trunk.Working(tokens)
		if rows == seen {
			continue
		}
		seen = rows
		n += bytes
		if e.Local != nil {
			n += e.Local.Working(rows)
		}
	}
	return n
}
