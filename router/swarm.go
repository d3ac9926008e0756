package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"shoal/experts"
	"shoal/rdrr"
	"shoal/router/plan"
)

// Directory knows who holds which experts of the model. Holders is asked for every layer of every token, so it answers from
// memory; its result is not changed afterwards by either side.
type Directory interface {
	Holders() []experts.Holder
}

// SwarmConfig says who serves a model's experts.
type SwarmConfig struct {
	Model rdrr.Digest
	MoE   rdrr.MoE
	// Local are the experts in this process, which are asked first and never timed out; nil: none.
	Local *experts.Holder
	// Directory knows the peers; nil: none.
	Directory Directory
	Limits    Limits
}

// Swarm is the Runner of all holders together: it sends each expert's slots to somebody who holds it, one message for each
// peer, and puts the answers in order. A peer that fails is replaced by a replica and rests for a while; one that is late is
// raced against a replica. Only when no replica is left does a batch fail, with a [MissingError].
//
// A Swarm serves many sessions, and what it learns about peers serves them all.
type Swarm struct {
	config SwarmConfig
	health health
	plan   atomic.Pointer[plan.Plan] // nil: none
}

var _ experts.Runner = (*Swarm)(nil)

// NewSwarm returns a swarm that has not met its peers yet.
func NewSwarm(c SwarmConfig) *Swarm {
	c.Limits = c.Limits.withDefaults()
	return &Swarm{config: c}
}

// Holders lists who can serve now: this process first, then the peers.
func (s *Swarm) Holders() []experts.Holder {
	var out []experts.Holder
	if s.config.Local != nil {
		local := *s.config.Local
		local.Peer = ""
		out = append(out, local)
	}
	if s.config.Directory != nil {
		for _, h := range s.config.Directory.Holders() {
			if h.Peer != "" && h.Runner != nil {
				out = append(out, h)
			}
		}
	}
	return out
}

// Follow makes the swarm ask whom a plan names, for work of a few rows. Who is not there, has failed lately or is late is
// replaced as ever, and what the plan does not name goes to whoever seems fastest; so does everything with a nil plan. The
// plan must not change any more.
func (s *Swarm) Follow(p *plan.Plan) { s.plan.Store(p) }

// Usual is what the calls of all sessions have taught of a peer.
func (s *Swarm) Usual(peer string) Usual { return s.health.usual(peer) }

// Run answers a batch from all holders. In row mode the answer does not depend on who answered, nor when. In sum mode the
// holders' sums are added in the order of their first slots.
func (s *Swarm) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	if err := s.check(b); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(b.Slots) == 0 {
		return make([]float32, b.ReplyRows()*b.Hidden), nil
	}
	start := time.Now()
	limit := s.config.Limits.Layer + time.Duration(len(b.Slots))*s.config.Limits.PerSlot
	bounded, cancel := context.WithTimeoutCause(ctx, limit, errLayerTime)
	defer cancel()
	d := &dispatch{swarm: s, batch: b, tally: tallyOf(ctx), refused: map[string]error{}}
	pieces, err := d.serve(bounded, allSlots(b), 1)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && errors.Is(context.Cause(bounded), errLayerTime) {
			return nil, d.outOfTime(limit)
		}
		return nil, err
	}
	y := assemble(b, pieces)
	d.tally.layer(d.depth.Load(), time.Since(start), d.lastAnswer())
	return y, nil
}

var errLayerTime = errors.New("the layer's time is up")

func (s *Swarm) check(b experts.Batch) error {
	if b.Model != s.config.Model {
		return fmt.Errorf("%w: asked for model %s, this swarm serves %s", experts.ErrWrongModel, b.Model, s.config.Model)
	}
	if b.Hidden != s.config.MoE.Hidden {
		return fmt.Errorf("%w: layer %d: rows of %d, the model's hidden size is %d", experts.ErrBadRequest, b.Layer, b.Hidden, s.config.MoE.Hidden)
	}
	if err := b.Validate(); err != nil {
		return fmt.Errorf("%w: %w", experts.ErrBadRequest, err)
	}
	known := slices.Contains(s.config.MoE.Layers, b.Layer)
	for _, slot := range b.Slots {
		if !known || slot.Expert >= s.config.MoE.Experts {
			return fmt.Errorf("%w: the model has no layer %d expert %d", experts.ErrNotHeld, b.Layer, slot.Expert)
		}
	}
	return nil
}
