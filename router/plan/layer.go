package plan

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"shoal/experts"
)

// layer chooses the holders of one layer, or of several that are held alike.
type layer struct {
	experts, topK int
	sync          float64  // of a layer that asks anybody by message
	message       Time     // of each message, at this machine
	members       []member // cheapest first
	costs         map[string]choice
}

// member is somebody who holds experts of the layer.
type member struct {
	peer  string // "" is this process
	holds experts.Set
	load  load
}

// choice is an assignment and what it costs.
type choice struct {
	assigned []int // member by expert
	time     Time
	waits    []float64 // of the time, by member
	messages float64
}

// newLayer collects who holds experts of layer number n.
func newLayer(s Swarm, n int) *layer {
	l := &layer{experts: s.Model.Experts, topK: s.Model.TopK, sync: s.Self.Sync.Seconds(), costs: map[string]choice{}}
	l.message = Time{Sync: s.Self.Message.Seconds(), Bytes: transfer(s.Wire.Request+s.Wire.Reply, s.Self.Rate)}
	within := func(holds experts.Set) (out experts.Set) {
		for e := range l.experts {
			if holds.Has(e) {
				out = out.With(e)
			}
		}
		return out
	}
	if holds := within(s.Self.Holds[n]); holds != nil {
		l.members = append(l.members, member{holds: holds, load: load{slot: Time{Experts: s.Self.Expert.Seconds()}}})
	}
	for _, p := range s.Peers {
		if holds := within(p.Holds[n]); holds != nil {
			l.members = append(l.members, member{peer: p.ID, holds: holds, load: load{
				call: Time{
					RoundTrip: p.RTT.Seconds(), Bytes: transfer(s.Wire.Request+s.Wire.Reply, p.Rate),
					Compute: p.Call.Seconds(), Queue: p.Queue.Seconds(),
				},
				slot: Time{Bytes: transfer(s.Wire.RequestSlot+s.Wire.ReplySlot, p.Rate), Compute: p.Expert.Seconds()},
				late: p.Late.Seconds(), message: true,
			}})
		}
	}
	slices.SortFunc(l.members, func(a, b member) int {
		return cmp.Or(cmp.Compare(l.alone(a), l.alone(b)), strings.Compare(a.peer, b.peer))
	})
	return l
}

// alone is the time of a member that runs all experts of a token.
func (l *layer) alone(m member) float64 {
	return m.load.call.Total() + float64(l.topK)*m.load.slot.Total()
}

// transfer is the time of that many bytes at a rate, which is no limit if it is 0.
func transfer(bytes int, rate float64) float64 {
	if rate == 0 {
		return 0
	}
	return float64(bytes) / rate
}

// coverable are the experts that somebody allowed holds.
func (l *layer) coverable(allowed func(peer string) bool) experts.Set {
	var out experts.Set
	for e := range l.experts {
		for _, m := range l.members {
			if m.holds.Has(e) && allowed(m.peer) {
				out = out.With(e)
				break
			}
		}
	}
	return out
}

// cost is what an assignment takes: the slowest of those that a token needs, since they work at the same time, and the
// messages.
func (l *layer) cost(assigned []int) choice {
	c := choice{assigned: assigned, waits: make([]float64, len(l.members))}
	var loads []load
	var who []int
	covered := 0
	for m, set := range l.byMember(assigned) {
		if n := set.Len(); n > 0 {
			one := l.members[m].load
			one.experts = n
			loads, who, covered = append(loads, one), append(who, m), covered+n
		}
	}
	if covered == 0 {
		return c
	}
	topK := min(l.topK, covered)
	var waits []float64
	c.time, waits = slowest(loads, topK)
	for i, m := range who {
		c.waits[m] = waits[i]
	}
	if c.messages = distinct(loads, covered, topK); c.messages > 0 {
		c.time.add(c.messages, l.message)
		c.time.Sync += l.sync
	}
	return c
}

// with is the better of the two ways to assign the layer to exactly these members, ascending.
func (l *layer) with(set []int) choice {
	var key experts.Set
	for _, m := range set {
		key = key.With(m)
	}
	name := keyOf(key)
	if c, ok := l.costs[name]; ok {
		return c
	}
	c := l.cost(l.concentrate(set))
	if len(set) > 1 {
		if other := l.cost(l.spread(set)); other.time.Total() < c.time.Total() {
			c = other
		}
	}
	l.costs[name] = c
	return c
}

func keyOf(s experts.Set) string {
	b := make([]byte, 0, 8*len(s))
	for _, w := range s {
		for i := range 8 {
			b = append(b, byte(w>>(8*i)))
		}
	}
	return string(b)
}

// everySet is the most members of a layer for which every set of them is considered.
const everySet = 8

// best is the cheapest assignment of all that the allowed members can cover. Up to [everySet] of them it is the best of all
// sets, so that one more allowed member never makes it worse; with more it is searched for.
func (l *layer) best(allowed func(peer string) bool) choice {
	var can []int
	for m := range l.members {
		if allowed(l.members[m].peer) {
			can = append(can, m)
		}
	}
	if len(can) == 0 {
		return l.cost(l.nobody())
	}
	want := l.coverable(allowed).Len()
	if len(can) > everySet {
		return l.search(can, want)
	}
	best, least := choice{}, math.Inf(1)
	for mask := 1; mask < 1<<len(can); mask++ {
		var set []int
		for i, m := range can {
			if mask>>i&1 == 1 {
				set = append(set, m)
			}
		}
		if l.covers(set, want) {
			if c := l.with(set); c.time.Total() < least {
				best, least = c, c.time.Total()
			}
		}
	}
	return best
}

// covers reports whether a set of members has that many experts.
func (l *layer) covers(set []int, want int) bool {
	var all experts.Set
	for _, m := range set {
		for i, w := range l.members[m].holds {
			for len(all) <= i {
				all = append(all, 0)
			}
			all[i] |= w
		}
	}
	return all.Len() == want
}

// part is a choice as a layer of a plan.
func (l *layer) part(number int, c choice) Layer {
	out := Layer{Layer: number, Experts: map[string]experts.Set{}, Time: c.time, messages: c.messages, waits: map[string]float64{}}
	for m, set := range l.byMember(c.assigned) {
		if peer := l.members[m].peer; set != nil {
			out.Experts[peer] = set
			if peer != "" {
				out.waits[peer] = c.waits[m]
			}
		}
	}
	for e, m := range c.assigned {
		if m == unassigned {
			out.Missing = append(out.Missing, e)
		}
	}
	return out
}
