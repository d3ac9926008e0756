package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"shoal/experts"
	"shoal/p2p"
	"shoal/rdrr"
	"shoal/router"
	"shoal/router/plan"
)

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
