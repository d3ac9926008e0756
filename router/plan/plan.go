// Package plan predicts how fast a swarm is and chooses who serves which experts of a model.
//
// A token passes through the layers one after another, so that its time is the trunk's and, for each layer with experts
// elsewhere, that of the slowest peer asked:
//
//	T = trunk + sum over layers of E[max over peers asked of (round trip + bytes/rate + compute + queue)] + messages
//
// Who is asked follows from the draw of the top-k experts; [New] takes what is known, [Planner.Plan] chooses the assignment
// with the smallest T, [Planner.Compare] says what the swarm and each peer are worth, and [Planner.Keep] plans again without
// changing what is nearly as good.
//
// The package is arithmetic: it knows no clock, no socket and no device, moves no experts, and takes every number as given.
package plan

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"shoal/experts"
)

// Plan is who serves which experts, and what that is expected to cost.
type Plan struct {
	Layers   []Layer            // of the model's layers with routed experts, in order
	Time     Time               // of one token, in seconds
	Waits    map[string]float64 // seconds of a token that it waits for this peer, by peer
	Remote   int                // layers that ask peers
	Messages float64            // to peers, for a token
	Missing  int                // experts without a holder
}

// Layer is one layer's part of a plan.
type Layer struct {
	Layer   int
	Here    bool                   // all of its experts are in this process, on the trunk's device
	Experts map[string]experts.Set // by peer; "" is this process
	Missing []int                  // experts that nobody holds, ascending
	Time    Time

	messages float64
	waits    map[string]float64 // by peer
}

// TokensPerSecond is the predicted speed of plain decoding, 0 if an expert has no holder.
func (p *Plan) TokensPerSecond() float64 {
	if p == nil || p.Missing > 0 {
		return 0
	}
	return 1 / max(p.Time.Total(), 1e-12)
}

// Layer is a layer's part by its number; ok if the plan has it.
func (p *Plan) Layer(number int) (l Layer, ok bool) {
	at, ok := slices.BinarySearchFunc(p.Layers, number, func(l Layer, n int) int { return cmp.Compare(l.Layer, n) })
	if !ok {
		return Layer{}, false
	}
	return p.Layers[at], true
}

// Peers lists the peers that have a part in the plan, in order.
func (p *Plan) Peers() []string {
	var out []string
	for _, l := range p.Layers {
		for peer := range l.Experts {
			if at, found := slices.BinarySearch(out, peer); peer != "" && !found {
				out = slices.Insert(out, at, peer)
			}
		}
	}
	return out
}

// Here lists the layers whose experts are all in this process.
func (p *Plan) Here() []int {
	var out []int
	for _, l := range p.Layers {
		if l.Here {
			out = append(out, l.Layer)
		}
	}
	return out
}

// Planner plans for one swarm. It belongs to one goroutine.
type Planner struct {
	swarm  Swarm
	layers []*layer // of the model's layers; layers that are held alike share one
}

// New returns a planner for a swarm, which it does not change and which must not change meanwhile.
func New(s Swarm) (*Planner, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	p := &Planner{swarm: s}
	alike := map[string]*layer{}
	for _, n := range s.Model.Layers {
		l := newLayer(s, n)
		var key strings.Builder
		for _, m := range l.members {
			key.WriteString(m.peer + "\x00" + keyOf(m.holds) + "\x00")
		}
		if known, ok := alike[key.String()]; ok {
			l = known
		}
		alike[key.String()] = l
		p.layers = append(p.layers, l)
	}
	return p, nil
}

// everybody allows all peers.
func everybody(string) bool { return true }

// Plan chooses the fastest assignment. Layers whose experts are all here stay here. Of the others, as many whole layers are
// taken into this process as memory has bytes for, those that gain most, of equals the first and last of the model; 0 takes
// none. A peer that would slow a layer down has no part in it.
func (p *Planner) Plan(memory int64) *Plan { return p.plan(memory, everybody) }

// Without is [Planner.Plan] for the swarm without one peer.
func (p *Planner) Without(peer string, memory int64) *Plan {
	return p.plan(memory, func(other string) bool { return other != peer })
}

// Alone is the plan in which this process runs everything, whether or not it has the memory for it.
func (p *Planner) Alone() *Plan {
	layers := make([]Layer, len(p.layers))
	for i := range layers {
		layers[i] = p.here(i)
	}
	return p.sum(layers)
}

// Bytes is what all routed experts of the model take.
func (p *Planner) Bytes() int64 { return p.layerBytes() * int64(len(p.layers)) }

func (p *Planner) layerBytes() int64 { return int64(p.swarm.Model.Experts) * p.swarm.Model.ExpertBytes }

func (p *Planner) plan(memory int64, allowed func(string) bool) *Plan {
	layers := make([]Layer, len(p.layers))
	for i, l := range p.layers {
		if p.held(i) {
			layers[i] = p.here(i)
		} else {
			layers[i] = l.part(p.swarm.Model.Layers[i], l.best(allowed))
		}
	}
	p.takeIn(layers, memory)
	return p.sum(layers)
}

// held reports whether all experts of the i-th layer are in this process.
func (p *Planner) held(i int) bool {
	holds := p.swarm.Self.Holds[p.swarm.Model.Layers[i]]
	for e := range p.swarm.Model.Experts {
		if !holds.Has(e) {
			return false
		}
	}
	return true
}

// here is the i-th layer with all experts in this process: nothing is read back, no message is sent.
func (p *Planner) here(i int) Layer {
	m := p.swarm.Model
	var all experts.Set
	for e := range m.Experts {
		all = all.With(e)
	}
	return Layer{
		Layer: m.Layers[i], Here: true, Experts: map[string]experts.Set{"": all},
		Time: Time{Experts: float64(m.TopK) * p.swarm.Self.Expert.Seconds()},
	}
}

// takeIn moves whole layers into this process, as many as the memory has room for and as gain by it.
func (p *Planner) takeIn(layers []Layer, memory int64) {
	room := len(layers)
	if each := p.layerBytes(); each > 0 {
		room = int(min(max(memory, 0)/each, int64(room)))
	}
	gain := func(i int) float64 {
		if len(layers[i].Missing) > 0 {
			return math.Inf(1)
		}
		return layers[i].Time.Total() - p.here(i).Time.Total()
	}
	edge := func(i int) int { return min(i, len(layers)-1-i) }
	type candidate struct {
		at   int
		gain float64
	}
	var gains []candidate
	for i := range layers {
		if g := gain(i); memory > 0 && !layers[i].Here && g > 0 {
			gains = append(gains, candidate{i, g})
		}
	}
	slices.SortStableFunc(gains, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(edge(a.at), edge(b.at)))
	})
	for _, c := range gains[:min(room, len(gains))] {
		layers[c.at] = p.here(c.at)
	}
}

// sum adds the layers and the trunk up.
func (p *Planner) sum(layers []Layer) *Plan {
	out := &Plan{Layers: layers, Time: Time{Trunk: p.swarm.Self.Trunk.Seconds()}, Waits: map[string]float64{}}
	for _, l := range layers {
		out.Time.add(1, l.Time)
		out.Messages += l.messages
		out.Missing += len(l.Missing)
		if l.messages > 0 {
			out.Remote++
		}
		for peer, wait := range l.waits {
			out.Waits[peer] += wait
		}
	}
	return out
}
