package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"shoal/experts"
)

// drawnSwarm is any swarm of up to that many peers, often with replicas, sometimes with holes.
func drawnSwarm(peers int) *rapid.Generator[Swarm] {
	return rapid.Custom(func(t *rapid.T) Swarm {
		m := Model{Experts: rapid.SampledFrom([]int{4, 8, 16}).Draw(t, "experts"), ExpertBytes: 1000}
		m.TopK = rapid.IntRange(1, min(4, m.Experts)).Draw(t, "top-k")
		for l := range rapid.IntRange(1, 4).Draw(t, "layers") {
			m.Layers = append(m.Layers, l)
		}
		duration := func(name string, most time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, name))
		}
		s := Swarm{Model: m, Wire: bf16(64), Self: Machine{
			Trunk: duration("trunk", 10*ms), Expert: duration("expert", ms), Sync: duration("sync", ms), Message: duration("message", ms/10),
			Holds: experts.Holdings{},
		}}
		if rapid.Bool().Draw(t, "held here") {
			s.Self.Holds[0] = span(0, rapid.IntRange(0, m.Experts).Draw(t, "first layer"))
		}
		for i := range rapid.IntRange(1, peers).Draw(t, "peers") {
			p := Peer{
				ID: fmt.Sprintf("peer %d", i), RTT: duration("rtt", 50*ms), Expert: duration("peer's expert", 2*ms), Queue: duration("queue", ms),
				Call: duration("call", ms), Holds: experts.Holdings{},
			}
			if rapid.Bool().Draw(t, "uneven") {
				p.Late = duration("late", 20*ms)
			}
			if rapid.Bool().Draw(t, "slow link") {
				p.Rate = rapid.Float64Range(1e4, 1e7).Draw(t, "rate")
			}
			for _, l := range m.Layers {
				from := rapid.SampledFrom([]int{0, 0, 0, m.Experts / 2}).Draw(t, "from")
				to := rapid.SampledFrom([]int{m.Experts, m.Experts, m.Experts / 2}).Draw(t, "to")
				p.Holds[l] = span(from, to)
			}
			s.Peers = append(s.Peers, p)
		}
		return s
	})
}

func mustPlan(t *rapid.T, s Swarm) *Planner {
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPeerMoreNeverLowersTheSpeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSwarm(6).Draw(t, "swarm")
		memory := rapid.SampledFrom([]int64{0, 0, 20_000}).Draw(t, "memory")
		whole := mustPlan(t, s).Plan(memory)
		for i := range s.Peers {
			fewer := s
			fewer.Peers = slices.Delete(slices.Clone(s.Peers), i, i+1)
			without := mustPlan(t, fewer).Plan(memory)
			if without.TokensPerSecond() > whole.TokensPerSecond()*(1+1e-9) {
				t.Fatalf("%v tokens/s with %d peers, %v without %s", whole.TokensPerSecond(), len(s.Peers), without.TokensPerSecond(), s.Peers[i].ID)
			}
			if other := mustPlan(t, s).Without(s.Peers[i].ID, memory); other.Time.Total() != without.Time.Total() || other.Missing != without.Missing {
				t.Fatalf("Without says %v s, a swarm without %s takes %v", other.Time.Total(), s.Peers[i].ID, without.Time.Total())
			}
		}
	})
}

func TestTheOrderOfPeersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSwarm(12).Draw(t, "swarm")
		other := s
		other.Peers = rapid.Permutation(s.Peers).Draw(t, "order")
		a, b := mustPlan(t, s).Plan(0), mustPlan(t, other).Plan(0)
		if a.Time != b.Time {
			t.Fatalf("%+v, in another order %+v", a.Time, b.Time)
		}
		for i := range a.Layers {
			for peer, set := range a.Layers[i].Experts {
				if !slices.Equal(set, b.Layers[i].Experts[peer]) {
					t.Fatalf("layer %d: %s has %v, in another order %v", i, peer, set.Experts(), b.Layers[i].Experts[peer].Experts())
				}
			}
		}
	})
}

func TestEveryHeldExpertIsAssignedToAHolder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSwarm(14).Draw(t, "swarm")
		first := mustPlan(t, s).Plan(0)
		for i := range s.Peers { // what is measured changes, and somebody drops a layer
			s.Peers[i].RTT = time.Duration(rapid.Int64Range(0, int64(50*ms)).Draw(t, "rtt later"))
		}
		s.Peers[0].Holds = experts.Holdings{}
		for name, c := range map[string]struct {
			plan  *Plan
			holds func(peer string, layer, e int) bool
		}{
			"kept": {mustPlan(t, s).Keep(first, .2), holderOf(s)}, "new": {mustPlan(t, s).Plan(0), holderOf(s)},
		} {
			for _, l := range c.plan.Layers {
				for e := range s.Model.Experts {
					held := c.holds("", l.Layer, e)
					for _, p := range s.Peers {
						held = held || c.holds(p.ID, l.Layer, e)
					}
					var by []string
					for peer, set := range l.Experts {
						if set.Has(e) {
							by = append(by, peer)
						}
					}
					switch {
					case !held && (len(by) > 0 || !slices.Contains(l.Missing, e)):
						t.Fatalf("%s: layer %d expert %d, which nobody holds, is assigned to %v", name, l.Layer, e, by)
					case held && (len(by) != 1 || !c.holds(by[0], l.Layer, e)):
						t.Fatalf("%s: layer %d expert %d is assigned to %v", name, l.Layer, e, by)
					}
				}
			}
		}
	})
}

func holderOf(s Swarm) func(peer string, layer, e int) bool {
	return func(peer string, layer, e int) bool {
		if peer == "" {
			return s.Self.Holds[layer].Has(e)
		}
		i := slices.IndexFunc(s.Peers, func(p Peer) bool { return p.ID == peer })
		return s.Peers[i].Holds[layer].Has(e)
	}
}

// What is kept is at most the given share slower than a new plan.
func TestWhatIsKeptIsNearlyAsFast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSwarm(5).Draw(t, "swarm")
		old := mustPlan(t, s).Plan(0)
		for i := range s.Peers {
			s.Peers[i].RTT += time.Duration(rapid.Int64Range(0, int64(20*ms)).Draw(t, "rtt later"))
		}
		p := mustPlan(t, s)
		kept, fresh := p.Keep(old, .15), p.Plan(0)
		if kept.Time.Total() > fresh.Time.Total()*1.15+1e-12 {
			t.Fatalf("kept %v s, a new plan takes %v", kept.Time.Total(), fresh.Time.Total())
		}
		again := p.Keep(kept, .15)
		for i := range again.Layers {
			for peer, set := range kept.Layers[i].Experts {
				if !slices.Equal(set, again.Layers[i].Experts[peer]) {
					t.Fatalf("layer %d changes though nothing else did", i)
				}
			}
		}
	})
}

// The search among many peers comes close to the best of all sets.
func TestSearchIsNearTheBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawnSwarm(everySet-1).Draw(t, "swarm")
		p := mustPlan(t, s)
		for i, l := range p.layers {
			if p.held(i) || len(l.members) == 0 {
				continue
			}
			var can []int
			for m := range l.members {
				can = append(can, m)
			}
			best, found := l.best(everybody), l.search(can, l.coverable(everybody).Len())
			if found.time.Total() > best.time.Total()*1.1+1e-9 {
				t.Fatalf("layer %d: the search finds %v s, the best is %v", i, found.time.Total(), best.time.Total())
			}
		}
	})
}
