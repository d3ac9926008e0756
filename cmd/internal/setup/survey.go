package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/experts"
	"shoal/experts/host"
	"shoal/gpu"
	"shoal/model"
	"shoal/p2p"
	"shoal/rdrr"
	"shoal/router"
	"shoal/router/plan"
)

// Survey is what was measured of a swarm before a token was made.
type Survey struct {
	plan.Swarm
	// Memory is what this process has for experts, in bytes; math.MaxInt64 if the device does not tell.
	Memory int64
	Failed []router.Failure // peers that did not answer, and are not in the swarm
}

// How long a survey may take.
const (
	surveySteps  = 12                      // of the trunk
	surveyTrunk  = 2 * time.Second         // for them
	surveyCalls  = 100                     // of each kind to each peer
	surveyPeer   = 1500 * time.Millisecond // for them, but for the first few
	surveyAnswer = 5 * time.Second         // for one call
	surveyBank   = 2 << 30                 // bytes of a layer that is loaded to be measured
	surveyNear   = 2 * time.Millisecond    // round trip up to which peers are asked one after another
	surveyPings  = 600 * time.Millisecond  // for pings to be answered, before the first call
)

// Survey measures the trunk, an expert in this process, and each peer with real calls. The engine must have a swarm.
func (e *Engine) Survey(ctx context.Context) (*Survey, error) {
	if !e.Remote() {
		return nil, errors.New("nothing to survey: this process has joined no swarm")
	}
	s := &Survey{Memory: math.MaxInt64}
	bank, err := host.New(e.Device, e.Model)
	if err != nil {
		return nil, err
	}
	defer bank.Close()
	s.Model = e.planModel()
	s.Model.ExpertBytes = bank.ExpertBytes()
	if all := e.Device.Info().Memory; all > 0 {
		s.Memory = max(0, all-e.Device.Allocated())
		if e.Local != nil {
			s.Memory += e.Local.Bytes()
		}
	}
	if s.Self, err = e.surveySelf(ctx, bank, s.Memory); err != nil {
		return nil, fmt.Errorf("measuring this machine: %w", err)
	}
	return s, e.surveyPeers(ctx, s)
}

// surveySelf measures one token without experts, and an expert.
func (e *Engine) surveySelf(ctx context.Context, bank *host.Host, memory int64) (plan.Machine, error) {
	m := plan.Machine{Holds: e.held()}
	moe := e.config.MoE
	seq, err := e.Trunk.NewSequence(min(4*surveySteps, e.Trunk.Spec().MaxPositions))
	if err != nil {
		return m, err
	}
	defer seq.Close()
	zeros := make([]float32, moe.Hidden)
	idle, err := e.stepTime(ctx, seq, func(layer int) error { return seq.Experts(layer, noExperts{}) })
	if err != nil {
		return m, err
	}
	stopped, err := e.stepTime(ctx, seq, func(layer int) error {
		if _, _, err := seq.Route(layer); err != nil {
			return err
		}
		return seq.CombineSum(layer, zeros)
	})
	if err != nil {
		return m, err
	}
	layers := time.Duration(len(moe.Layers))
	m.Trunk, m.Sync = idle, max(0, stopped-idle)/layers

	held, err := e.someLayer(ctx, bank, memory)
	if err != nil {
		return m, err
	}
	if held == nil {
		m.Expert, err = expertTime(ctx, bank, moe.Layers[0])
		return m, err
	}
	whole, err := e.stepTime(ctx, seq, func(layer int) error { return seq.Experts(layer, held) })
	m.Expert = max(0, whole-idle) / layers / time.Duration(moe.TopK)
	return m, err
}

// someLayer is a layer whose experts are here, one that is loaded for the purpose if there is none; nil if it would be too
// large. All layers are of one shape, so it can stand for any of them.
func (e *Engine) someLayer(ctx context.Context, bank *host.Host, memory int64) (model.LayerExperts, error) {
	moe := e.config.MoE
	if e.config.Device != nil {
		for _, l := range moe.Layers {
			if held, ok := e.config.Device(l); ok {
				return held, nil
			}
		}
	}
	if int64(moe.Experts)*bank.ExpertBytes() > min(memory, surveyBank) {
		return nil, nil
	}
	all := make([]int, moe.Experts)
	for i := range all {
		all[i] = i
	}
	if err := bank.Load(ctx, moe.Layers[0], all); err != nil {
		return nil, err
	}
	held, _ := bank.Layer(moe.Layers[0])
	return held, nil
}

// noExperts leaves what the device computes for a layer as it is.
type noExperts struct{}

func (noExperts) Forward(gpu.Pass, gpu.Buffer, gpu.Buffer, gpu.Buffer, int, int) error { return nil }

// stepTime is the usual time of a step of one token with the given way through a layer's experts.
func (e *Engine) stepTime(ctx context.Context, seq *model.Sequence, ffn func(layer int) error) (time.Duration, error) {
	spec := e.Trunk.Spec()
	var took []time.Duration
	begin := time.Now()
	if err := seq.Truncate(0); err != nil {
		return 0, err
	}
	for i := range surveySteps {
		start := time.Now()
		if err := errors.Join(ctx.Err(), seq.Embed([]int{i % spec.Vocab})); err != nil {
			return 0, err
		}
		for layer := range spec.Layers {
			if err := seq.Attend(layer); err != nil {
				return 0, err
			}
			run := seq.FFN
			if spec.Layers[layer].MoE != nil {
				run = ffn
			}
			if err := run(layer); err != nil {
				return 0, err
			}
		}
		if _, err := seq.Logits(false); err != nil {
			return 0, err
		}
		if i > 1 { // the first ones warm up
			took = append(took, time.Since(start))
		}
		if len(took) > 2 && time.Since(begin) > surveyTrunk || seq.Position() == seq.Capacity() {
			break
		}
	}
	return middle(took), nil
}

// expertTime is the time of one row in one expert of a layer that is too large to be loaded whole.
func expertTime(ctx context.Context, bank *host.Host, layer int) (time.Duration, error) {
	moe := bank.MoE()
	list := make([]int, moe.TopK)
	for i := range list {
		list[i] = i
	}
	if err := bank.Load(ctx, layer, list); err != nil {
		return 0, err
	}
	var took []time.Duration
	for range 5 {
		start := time.Now()
		if _, err := bank.Run(ctx, surveyBatch(bank.Model(), moe, router.Fast, layer, list)); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return middle(took) / time.Duration(moe.TopK), nil
}

// surveyPeers measures the peers: those nearby one after another, since they may share a machine or a link, the others
// together, since measuring them is waiting.
func (e *Engine) surveyPeers(ctx context.Context, s *Survey) error {
	holders := e.Directory.Holders()
	select {
	case <-time.After(surveyPings):
	case <-ctx.Done():
		return ctx.Err()
	}
	limit := 1
	for _, h := range holders {
		if r, ok := h.Runner.(router.Pinged); ok && r.RTT() > surveyNear {
			limit = 8
		}
	}
	var mu sync.Mutex
	var messages []message
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limit)
	for _, h := range holders {
		group.Go(func() error {
			p, sizes, err := e.surveyPeer(ctx, h)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.Failed = append(s.Failed, router.Failure{Peer: h.Peer, Err: err})
				return nil
			}
			s.Peers, messages = append(s.Peers, p), append(messages, sizes)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(s.Peers, func(a, b plan.Peer) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Failed, func(a, b router.Failure) int { return cmp.Compare(a.Peer, b.Peer) })
	if len(s.Peers) == 0 {
		return fmt.Errorf("no peer answered: %v", s.Failed)
	}
	codec := make([]time.Duration, len(messages))
	for i, m := range messages {
		codec[i] = m.codec
	}
	s.Self.Message, s.Wire = middle(codec), messages[0].wire
	return nil
}

// surveyBatch is one row for the given experts.
func surveyBatch(digest rdrr.Digest, moe rdrr.MoE, mode router.Mode, layer int, list []int) experts.Batch {
	b := experts.Batch{Model: digest, Layer: layer, Hidden: moe.Hidden, X: make([]float32, moe.Hidden), Sum: mode == router.Fast}
	for i := range b.X {
		b.X[i] = float32(i%7) / 8
	}
	for _, expert := range list {
		b.Slots = append(b.Slots, experts.Slot{Expert: expert, Weight: 1 / float32(len(list))})
	}
	return b
}

// message is what a survey learns of messages: their sizes, and the time of writing and reading one.
type message struct {
	wire  plan.Wire
	codec time.Duration
}

// kind collects what calls with one number of slots took.
type kind struct {
	took, rest, compute, queue, codec []time.Duration
	sent, received                    int64
}

// surveyPeer measures a peer with calls of one slot and of as many as a token may need of it.
func (e *Engine) surveyPeer(ctx context.Context, h experts.Holder) (plan.Peer, message, error) {
	layers := h.Holds.Layers()
	if len(layers) == 0 {
		return plan.Peer{}, message{}, errors.New("it holds nothing")
	}
	most := 0
	for _, l := range layers {
		most = max(most, min(h.Holds[l].Len(), e.config.MoE.TopK))
	}
	layers = slices.DeleteFunc(layers, func(l int) bool { return h.Holds[l].Len() < most })
	var one, many kind
	begin := time.Now()
	for i := -1; i < surveyCalls; i++ {
		layer := layers[(i+1)%len(layers)]
		list := h.Holds[layer].Experts()
		at := (i + 1) * most % len(list) // other experts each time, so that they come from memory as they will
		list = append(list[at:], list[:at]...)
		if err := errors.Join(e.surveyCall(ctx, h, layer, list[:1], &one), e.surveyCall(ctx, h, layer, list[:most], &many)); err != nil {
			return plan.Peer{}, message{}, err
		}
		if i < 0 {
			one, many = kind{}, kind{} // the first ones open the stream and warm the peer up
		}
		if i > 6 && time.Since(begin) > surveyPeer {
			break
		}
	}
	calls := int64(len(many.took))
	wire := plan.Wire{Request: int(one.sent / int64(len(one.took))), Reply: int(one.received / int64(len(one.took)))}
	p := plan.Peer{ID: h.Peer, Holds: h.Holds, Queue: middle(many.queue), Late: late(many.took)}
	if most > 1 {
		p.Expert = max(0, middle(many.compute)-middle(one.compute)) / time.Duration(most-1)
		wire.RequestSlot = max(0, int(many.sent/calls)-wire.Request) / (most - 1)
		wire.ReplySlot = max(0, int(many.received/calls)-wire.Reply) / (most - 1)
	}
	codec := middle(one.codec)
	p.RTT = middle(one.rest) - codec
	if r, ok := h.Runner.(router.Pinged); ok && r.RTT() > 0 {
		p.RTT = min(p.RTT, r.RTT())
	}
	p.RTT = max(p.RTT, 0)
	// What is left of the time of a call without its computing went into the bytes, as far as the line's rate explains it, and
	// else into handling it there.
	rest := max(0, middle(one.rest)-codec-p.RTT)
	if p.Rate = lineRate(h.Runner); p.Rate > 0 {
		rest = max(0, rest-time.Duration(float64(wire.Request+wire.Reply)/p.Rate*float64(time.Second)))
	}
	p.Call = max(0, middle(one.compute)-p.Expert) + rest
	return p, message{wire, codec}, nil
}

// lineRate is what the line to a peer carries the way that carries less, in bytes per second; 0 if that is not known or no limit.
func lineRate(r experts.Runner) float64 {
	measured, ok := r.(interface{ Rates() p2p.Rates })
	if !ok {
		return 0
	}
	rates := measured.Rates()
	if rates.Up == 0 || rates.Down == 0 {
		return max(rates.Up, rates.Down) / 8
	}
	return min(rates.Up, rates.Down) / 8
}

// surveyCall makes one call and adds what it took.
func (e *Engine) surveyCall(ctx context.Context, h experts.Holder, layer int, list []int, k *kind) error {
	ctx, cancel := context.WithTimeout(ctx, surveyAnswer)
	defer cancel()
	var of experts.Timing
	metered, _ := h.Runner.(router.Metered)
	var sent, received int64
	if metered != nil {
		sent, received = metered.Bytes()
	}
	start := time.Now()
	_, err := h.Runner.Run(experts.WithTiming(ctx, &of), surveyBatch(e.config.Model, *e.config.MoE, e.config.Mode, layer, list))
	took := time.Since(start)
	if err != nil {
		return err
	}
	if metered != nil {
		s, r := metered.Bytes()
		k.sent, k.received = k.sent+s-sent, k.received+r-received
	}
	k.took, k.rest = append(k.took, took), append(k.rest, took-of.Compute-of.Queue)
	k.compute, k.queue, k.codec = append(k.compute, of.Compute), append(k.queue, of.Queue), append(k.codec, of.Codec)
	return nil
}

// middle is the median, 0 of none.
func middle(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// late is how much longer one call in twenty takes than the usual one; of fewer, the slowest but one, since one of them may be
// this process's own hiccup.
func late(d []time.Duration) time.Duration {
	if len(d) < 3 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(len(sorted)-2, len(sorted)*19/20)] - sorted[len(sorted)/2]
}
