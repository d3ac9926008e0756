package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"shoal/experts"
	"shoal/experts/runnertest"
	"shoal/gpu"
	"shoal/model"
	"shoal/rdrr"
)

// toyMoE is the model of the fakes: layer 0 is dense, layers 1 to 3 have experts.
var toyMoE = rdrr.MoE{Layers: []int{1, 2, 3}, Experts: 8, TopK: 3, Hidden: 16, Intermediate: 12, Activation: "silu"}

const toyLayers, toyVocab = 4, 50

// toy is a Sequence in plain Go: attention is a running mean of what the layer has seen, routes follow from the activations.
// Everything depends on everything before, so a wrong row or a wrong order of sums shows in the tokens.
type toy struct {
	history  [toyLayers][][]float32 // normed rows by position
	pos      int
	capacity int // 0: endless
	x        [][]float32
	h        [][]float32
	routes   model.Routes
	layer    int
	next     string // the call that must follow, as the contract has it
	steps    []int  // rows of each step
}

var _ Sequence = (*toy)(nil)

func (s *toy) expect(call string, layer int) error {
	if s.next != call || layer != s.layer {
		return fmt.Errorf("%s of layer %d is out of order: %s of layer %d is next", call, layer, s.next, s.layer)
	}
	return nil
}

func (s *toy) Position() int { return s.pos }

func (s *toy) Capacity() int {
	if s.capacity == 0 {
		return math.MaxInt
	}
	return s.capacity
}

func (s *toy) Truncate(pos int) error {
	for l := range s.history {
		s.history[l] = s.history[l][:min(pos, len(s.history[l]))]
	}
	s.pos, s.x, s.next = pos, nil, ""
	return nil
}

func (s *toy) Embed(tokens []int) error {
	if len(tokens) == 0 {
		return errors.New("no tokens")
	}
	if s.pos+len(tokens) > s.Capacity() {
		return errors.New("no room")
	}
	s.x, s.layer, s.next = nil, 0, "Attend"
	for _, token := range tokens {
		row := make([]float32, toyMoE.Hidden)
		for c := range row {
			row[c] = float32(math.Sin(float64((token + 1) * (c + 3))))
		}
		s.x = append(s.x, row)
	}
	s.steps = append(s.steps, len(tokens))
	return nil
}

func (s *toy) Attend(layer int) error {
	if err := s.expect("Attend", layer); err != nil {
		return err
	}
	s.h = nil
	for i := range s.x {
		s.history[layer] = append(s.history[layer][:s.pos+i], s.x[i])
		mean := make([]float32, toyMoE.Hidden)
		for _, row := range s.history[layer] {
			for c, v := range row {
				mean[c] += v / float32(s.pos+i+1)
			}
		}
		x := make([]float32, toyMoE.Hidden)
		norm := float32(1e-6)
		for c := range x {
			x[c] = s.x[i][c] + mean[c]
			norm += x[c] * x[c]
		}
		h := make([]float32, len(x))
		for c := range h {
			h[c] = x[c] / float32(math.Sqrt(float64(norm)/float64(len(x))))
		}
		s.x[i] = x
		s.h = append(s.h, h)
	}
	s.next = "Route"
	if layer == 0 {
		s.next = "FFN"
	}
	return nil
}

func (s *toy) FFN(layer int) error {
	if err := s.expect("FFN", layer); err != nil {
		return err
	}
	for i := range s.x {
		for c := range s.x[i] {
			s.x[i][c] += .1 * s.h[i][c] * s.h[i][c]
		}
	}
	s.layer, s.next = layer+1, "Attend"
	return nil
}

func (s *toy) Route(layer int) ([]float32, model.Routes, error) {
	if err := s.expect("Route", layer); err != nil {
		return nil, model.Routes{}, err
	}
	s.routes = model.Routes{K: toyMoE.TopK}
	var h []float32
	for _, row := range s.h {
		h = append(h, row...)
		for j := range toyMoE.TopK {
			// Three different experts, that depend on the row's content.
			first := int(math.Abs(float64(row[layer]))*1e4) % toyMoE.Experts
			s.routes.Experts = append(s.routes.Experts, uint32((first+3*j)%toyMoE.Experts))
			s.routes.Weights = append(s.routes.Weights, float32(toyMoE.TopK-j)/6)
		}
	}
	s.next = "Combine"
	return h, s.routes, nil
}

func (s *toy) Experts(layer int, e model.LayerExperts) error {
	h, r, err := s.Route(layer)
	if err != nil {
		return err
	}
	y, err := e.(onDevice).reference.Run(context.Background(), Config{Model: toyDigest, MoE: &toyMoE}.Batch(layer, h, r))
	if err != nil {
		return err
	}
	return s.Combine(layer, y)
}

func (s *toy) Combine(layer int, y []float32) error {
	if err := s.expect("Combine", layer); err != nil {
		return err
	}
	k, hidden := toyMoE.TopK, toyMoE.Hidden
	if len(y) != len(s.x)*k*hidden {
		return fmt.Errorf("layer %d: %d values", layer, len(y))
	}
	for slot, w := range s.routes.Weights {
		for c := range hidden {
			s.x[slot/k][c] += w * y[slot*hidden+c]
		}
	}
	s.layer, s.next = layer+1, "Attend"
	return nil
}

func (s *toy) CombineSum(layer int, y []float32) error {
	if err := s.expect("Combine", layer); err != nil {
		return err
	}
	if len(y) != len(s.x)*toyMoE.Hidden {
		return fmt.Errorf("layer %d: %d values", layer, len(y))
	}
	for i := range s.x {
		for c := range s.x[i] {
			s.x[i][c] += y[i*toyMoE.Hidden+c]
		}
	}
	s.layer, s.next = layer+1, "Attend"
	return nil
}

func (s *toy) Logits(all bool) ([]float32, error) {
	if err := s.expect("Attend", toyLayers); err != nil {
		return nil, err
	}
	rows := s.x[len(s.x)-1:]
	if all {
		rows = s.x
	}
	var out []float32
	for _, row := range rows {
		for v := range toyVocab {
			sum := float32(0)
			for c, x := range row {
				sum += x * float32(math.Cos(float64((v+2)*(c+1))))
			}
			out = append(out, sum)
		}
	}
	return out, s.finish()
}

func (s *toy) Finish() error {
	if err := s.expect("Attend", toyLayers); err != nil {
		return err
	}
	return s.finish()
}

func (s *toy) finish() error {
	s.pos += len(s.x)
	s.x, s.next = nil, ""
	return nil
}

// onDevice stands for a layer held on the trunk's device.
type onDevice struct{ reference *runnertest.Reference }

func (onDevice) Forward(gpu.Pass, gpu.Buffer, gpu.Buffer, gpu.Buffer, int, int) error {
	return errors.New("the toy has no device")
}

// fakePeer is a Runner with a network's habits.
type fakePeer struct {
	experts.Runner
	delay     func(call int) time.Duration // nil: none
	fail      func(call int) error         // nil: never; called after the delay
	hang      func(call int) bool          // nil: never; such a call ends only with its context
	change    func(call int, y []float32) []float32
	calls     atomic.Int64
	cancelled atomic.Int64
	answered  atomic.Int64
	rows      atomic.Int64
}

func (p *fakePeer) Run(ctx context.Context, b experts.Batch) ([]float32, error) {
	call := int(p.calls.Add(1)) - 1
	p.rows.Add(int64(b.Rows()))
	var wait time.Duration
	if p.delay != nil {
		wait = p.delay(call)
	}
	var elapsed <-chan time.Time
	if p.hang == nil || !p.hang(call) {
		elapsed = time.After(wait)
	}
	select {
	case <-elapsed:
	case <-ctx.Done():
		p.cancelled.Add(1)
		return nil, ctx.Err()
	}
	if p.fail != nil {
		if err := p.fail(call); err != nil {
			return nil, err
		}
	}
	y, err := p.Runner.Run(ctx, b)
	if err == nil && p.change != nil {
		y = p.change(call, y)
	}
	p.answered.Add(1)
	return y, err
}

func (p *fakePeer) Bytes() (sent, received int64) {
	return p.rows.Load() * int64(toyMoE.Hidden) * 4, p.answered.Load() * 100
}

// directory is a Directory that tests change.
type directory struct {
	mu      sync.Mutex
	holders []experts.Holder
}

func (d *directory) Holders() []experts.Holder {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]experts.Holder(nil), d.holders...)
}

func (d *directory) add(h ...experts.Holder) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holders = append(d.holders, h...)
}

// toySwarm is a swarm of fake peers. peers[i] holds those experts of every layer that holds names.
type toySwarm struct {
	*Swarm
	dir   *directory
	peers []*fakePeer
}

func newToySwarm(holds ...experts.Set) toySwarm {
	s := toySwarm{dir: &directory{}}
	for i, set := range holds {
		h := experts.Holdings{}
		for _, l := range toyMoE.Layers {
			h[l] = set
		}
		p := &fakePeer{Runner: runnertest.Random(toyMoE, h, 1)}
		s.peers = append(s.peers, p)
		s.dir.add(experts.Holder{Peer: string(rune('a' + i)), Holds: h, Runner: p})
	}
	s.Swarm = NewSwarm(SwarmConfig{Model: toyDigest, MoE: toyMoE, Directory: s.dir})
	return s
}

var toyDigest = runnertest.Random(toyMoE, nil, 1).Digest

func (s toySwarm) session(mode Mode) *Session { return newToySession(s.Swarm, mode) }

func newToySession(r experts.Runner, mode Mode) *Session {
	session, err := NewSession(&toy{}, Config{Model: toyDigest, Layers: toyLayers, MoE: &toyMoE, Experts: r, Mode: mode, Chunk: 5})
	if err != nil {
		panic(err)
	}
	return session
}

// toyPrompt is longer than a chunk.
var toyPrompt = []int{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}

// alone generates with every expert in one plain Runner.
func alone(ctx context.Context, tokens int) []int {
	r, err := newToySession(runnertest.Random(toyMoE, runnertest.All(toyMoE), 1), Exact).Generate(ctx, Request{Prompt: toyPrompt, MaxTokens: tokens})
	if err != nil {
		panic(err)
	}
	return r.Tokens
}
