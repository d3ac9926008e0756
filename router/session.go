// Package router takes tokens through a model whose experts may be anywhere.
//
// [Session.Step] is the story of one token: embed; in every layer attend, and pass the result through the layer's experts,
// which are on the trunk's device or behind an experts.Runner; logits. [Session.Generate] samples and repeats. [Swarm] is the
// Runner that makes one of many holders: it groups a layer's work by holder, moves it to replicas when peers fail or are late,
// and puts answers in an order that does not depend on when they came.
//
// The package knows neither sockets nor devices, and never renormalises an expert away: what is missing is an error that
// names it.
package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"shoal/experts"
	"shoal/model"
	"shoal/rdrr"
)

// Sequence is the trunk of a model running one token sequence, as *model.Sequence does.
type Sequence interface {
	Position() int
	Capacity() int // the most tokens that it can hold
	Truncate(pos int) error
	Embed(tokens []int) error
	Attend(layer int) error
	FFN(layer int) error
	Experts(layer int, e model.LayerExperts) error
	Route(layer int) (h []float32, r model.Routes, err error)
	Combine(layer int, y []float32) error
	CombineSum(layer int, y []float32) error
	Logits(all bool) ([]float32, error)
	Finish() error
}

var _ Sequence = (*model.Sequence)(nil)

// Mode is what is asked of experts elsewhere.
type Mode uint8

const (
	// Exact asks for every expert's own row and adds them on the trunk's device, as if all had been there: the tokens do not
	// depend on who holds what.
	Exact Mode = iota
	// Fast asks every holder for one gate-weighted sum: fewer bytes, and sums that round differently with the placement.
	Fast
)

// ParseMode reads "exact" or "fast".
func ParseMode(s string) (Mode, error) {
	switch s {
	case "exact":
		return Exact, nil
	case "fast":
		return Fast, nil
	}
	return 0, fmt.Errorf("mode %q: want exact or fast", s)
}

func (m Mode) String() string {
	if m == Fast {
		return "fast"
	}
	return "exact"
}

// Config is how a session gets from layer to layer.
type Config struct {
	Model  rdrr.Digest
	Layers int       // how many the model has
	MoE    *rdrr.MoE // nil for a dense model
	// Device gives the layers whose experts are all on the trunk's device; nil: none.
	Device func(layer int) (model.LayerExperts, bool)
	// Experts runs the experts of the other layers, usually a *[Swarm]; nil: there must be no other layers.
	Experts experts.Runner
	Mode    Mode
	// Chunk is how many tokens of a prompt go through the layers at once, 128 by default; at most the trunk's Rows.
	Chunk int
	// Drafters guess tokens for [Session.Generate] to verify; none: every pass makes one token. They belong to the session.
	Drafters []Drafter
	// Draft is how many tokens to guess for a pass, at most [MaxDraft]; 0: whatever promises the most speed, none if that is plain decoding.
	Draft int
}

// Session is one token sequence on its way through the model. It belongs to one goroutine.
type Session struct {
	seq    Sequence
	config Config
	routed []bool // by layer: it has routed experts
	text   []int  // the tokens of the sequence that came by this session
	tally  *tally
	guess  *speculation
}

// NewSession returns a session at the sequence's position. The sequence must not be used by anybody else meanwhile.
func NewSession(seq Sequence, c Config) (*Session, error) {
	if c.Chunk <= 0 {
		c.Chunk = 128
	}
	s := &Session{seq: seq, config: c, routed: make([]bool, c.Layers), tally: &tally{}, guess: newSpeculation(c.Drafters, c.Draft)}
	if c.MoE == nil {
		return s, nil
	}
	for _, l := range c.MoE.Layers {
		if l < 0 || l >= c.Layers {
			return nil, fmt.Errorf("layer %d has experts, but the model has %d layers", l, c.Layers)
		}
		s.routed[l] = true
	}
	if c.Experts == nil {
		if err := s.Coverage(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Coverage returns a [MissingError] if some expert is neither on the device nor, as far as is known, held by anybody.
func (s *Session) Coverage() error {
	known, hasHolders := s.config.Experts.(interface{ Holders() []experts.Holder })
	if s.config.Experts != nil && !hasHolders || s.config.MoE == nil {
		return nil
	}
	var holders []experts.Holder
	if hasHolders {
		holders = known.Holders()
	}
	if missing := Uncovered(s.config.Elsewhere(), holders); missing != nil {
		return &MissingError{Missing: missing}
	}
	return nil
}

// Position is the number of tokens that the sequence holds.
func (s *Session) Position() int { return s.seq.Position() }

// Truncate forgets the tokens from pos on.
func (s *Session) Truncate(pos int) error {
	before := s.seq.Position() - len(s.text)
	if err := s.seq.Truncate(pos); err != nil {
		return err
	}
	s.text = s.text[:min(max(pos-before, 0), len(s.text))]
	return nil
}

// Step takes tokens through the model and returns the logits [vocab] after the last of them. Many tokens go in chunks. If it
// fails, the sequence is where it was before.
func (s *Session) Step(ctx context.Context, tokens []int) (logits []float32, err error) {
	err = s.step(ctx, tokens, func() error {
		logits, err = s.logits(ctx, false)
		return err
	})
	return logits, err
}

// step takes tokens through the layers, in chunks; end is what is done after the last one, and ends its pass. If anything fails,
// the sequence is where it was before.
func (s *Session) step(ctx context.Context, tokens []int, end func() error) (err error) {
	start, all := s.seq.Position(), tokens
	defer func() {
		if err != nil {
			err = errors.Join(err, s.seq.Truncate(start))
		} else {
			s.text = append(s.text, all...)
		}
	}()
	for ; len(tokens) > s.config.Chunk; tokens = tokens[s.config.Chunk:] {
		if err := s.forward(ctx, tokens[:s.config.Chunk]); err != nil {
			return err
		}
		if err := s.seq.Finish(); err != nil {
			return err
		}
	}
	if err := s.forward(ctx, tokens); err != nil {
		return err
	}
	return end()
}

// logits ends a pass.
func (s *Session) logits(ctx context.Context, all bool) ([]float32, error) {
	start := time.Now()
	logits, err := s.seq.Logits(all)
	traceOf(ctx).since(start, "logits", -1, 0)
	return logits, err
}

// Score takes tokens through the model in one chunk and returns the logits [len(tokens), vocab] after each of them.
func (s *Session) Score(ctx context.Context, tokens []int) (logits []float32, err error) {
	start := s.seq.Position()
	if err = s.forward(ctx, tokens); err == nil {
		logits, err = s.logits(ctx, true)
	}
	if err != nil {
		return nil, errors.Join(err, s.seq.Truncate(start))
	}
	s.text = append(s.text, tokens...)
	return logits, nil
}

// forward takes a few tokens through all layers.
func (s *Session) forward(ctx context.Context, tokens []int) error {
	ctx = withTally(ctx, s.tally)
	trace, begin := traceOf(ctx), time.Now()
	if err := s.seq.Embed(tokens); err != nil {
		return err
	}
	start := begin
	for layer, routed := range s.routed {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.seq.Attend(layer); err != nil {
			return err
		}
		if err := s.ffn(ctx, layer, routed, start); err != nil {
			return err
		}
		start = time.Now()
	}
	trace.since(begin, "pass", -1, len(tokens))
	return nil
}

// ffn is the second half of a layer that began at start: the dense FFN, the experts on this device, or those elsewhere.
func (s *Session) ffn(ctx context.Context, layer int, routed bool, start time.Time) error {
	trace := traceOf(ctx)
	if !routed {
		return s.seq.FFN(layer)
	}
	if local, ok := s.config.OnDevice(layer); ok {
		return s.seq.Experts(layer, local)
	}
	h, routes, err := s.seq.Route(layer)
	if err != nil {
		return err
	}
	rows := len(routes.Experts) / max(routes.K, 1)
	start = trace.since(start, "trunk", layer, rows)
	y, err := s.config.Experts.Run(ctx, s.config.Batch(layer, h, routes))
	if err != nil {
		return err
	}
	trace.since(start, "wait", layer, rows)
	if s.config.Mode == Fast {
		return s.seq.CombineSum(layer, y)
	}
	return s.seq.Combine(layer, y)
}

// OnDevice returns the experts of a layer that has them all on the trunk's device.
func (c Config) OnDevice(layer int) (model.LayerExperts, bool) {
	if c.Device == nil {
		return nil, false
	}
	return c.Device(layer)
}

// Elsewhere is the model's MoE with only the layers whose experts are not all on the trunk's device.
func (c Config) Elsewhere() rdrr.MoE {
	moe := *c.MoE
	moe.Layers = nil
	for _, l := range c.MoE.Layers {
		if _, ok := c.OnDevice(l); !ok {
			moe.Layers = append(moe.Layers, l)
		}
	}
	return moe
}

// Batch is a layer's work: every row of h [n, hidden] with the experts that the gate chose, in route order.
func (c Config) Batch(layer int, h []float32, r model.Routes) experts.Batch {
	b := experts.Batch{Model: c.Model, Layer: layer, Hidden: c.MoE.Hidden, X: h, Sum: c.Mode == Fast}
	b.Slots = make([]experts.Slot, len(r.Experts))
	for i, e := range r.Experts {
		b.Slots[i] = experts.Slot{Row: i / r.K, Expert: int(e), Weight: r.Weights[i]}
	}
	return b
}
