package setup

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"shoal/experts/host"
	"shoal/gpu"
	"shoal/model"
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
