package plan

import (
	"math"
	"slices"
	"testing"
	"time"

	"shoal/experts"
)

const ms = time.Millisecond

func span(from, to int) experts.Set {
	var s experts.Set
	for e := from; e < to; e++ {
		s = s.With(e)
	}
	return s
}

// qwen has the numbers of Qwen3-30B-A3B in 4.5 bits: 48 layers, top-8 of 128.
func qwen() Model {
	m := Model{Experts: 128, TopK: 8, ExpertBytes: 2_650_000}
	for l := range 48 {
		m.Layers = append(m.Layers, l)
	}
	return m
}

// on holds the experts from one up to another on all layers.
func on(m Model, from, to int) experts.Holdings {
	h := experts.Holdings{}
	for _, l := range m.Layers {
		h[l] = span(from, to)
	}
	return h
}

func bf16(hidden int) Wire {
	return Wire{Request: 2*hidden + 80, Reply: 2*hidden + 30, RequestSlot: 6}
}

func planner(t *testing.T, s Swarm) *Planner {
	t.Helper()
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// coordinator has a trunk of 12 ms a token and computes an expert in a third of a millisecond.
func coordinator() Machine {
	return Machine{Trunk: 12 * ms, Expert: 330 * time.Microsecond, Sync: 100 * time.Microsecond, Message: 20 * time.Microsecond}
}

func TestPlansOfDrawnSwarms(t *testing.T) {
	m := qwen()
	full := on(m, 0, 128)
	peer := func(id string, rtt, expert time.Duration, holds experts.Holdings) Peer {
		return Peer{ID: id, RTT: rtt, Expert: expert, Holds: holds}
	}
	us := time.Microsecond
	for _, c := range []struct {
		name   string
		peers  []Peer
		self   func(*Machine)
		peersN int      // that the plan uses
		uses   []string // some of them
		unused []string
		lo, hi float64 // tokens per second
		bound  string
	}{
		{
			name: "LAN of equal peers with everything: work is spread", peersN: 4, lo: 11.5, hi: 12, bound: "slowest peer",
			peers: []Peer{peer("a", 200*us, 330*us, full), peer("b", 200*us, 330*us, full), peer("c", 200*us, 330*us, full), peer("d", 200*us, 330*us, full)},
		},
		{
			name: "WAN of equal peers with everything that answer unevenly: one peer a layer", peersN: 1, lo: .635, hi: .645, bound: "round trips",
			peers: []Peer{
				{ID: "a", RTT: 30 * ms, Expert: 10 * us, Late: 40 * ms, Holds: full}, {ID: "b", RTT: 30 * ms, Expert: 10 * us, Late: 40 * ms, Holds: full},
				{ID: "c", RTT: 30 * ms, Expert: 10 * us, Late: 40 * ms, Holds: full},
			},
		},
		{
			name: "one far peer among near ones is not used", uses: []string{"a", "b"}, unused: []string{"far"}, lo: 8.7, hi: 9, bound: "slowest peer", peersN: 2,
			peers: []Peer{peer("a", 300*us, 330*us, full), peer("b", 300*us, 330*us, full), peer("far", 40*ms, 10*us, full)},
		},
		{
			name: "one slow peer among near ones is not used", uses: []string{"a"}, unused: []string{"slow"}, lo: 12, hi: 16, bound: "round trips", peersN: 1,
			peers: []Peer{peer("a", ms, 10*us, full), peer("slow", ms, 20*ms, full)},
		},
		{
			name: "of two replicas the nearer", uses: []string{"near"}, unused: []string{"far"}, lo: 1.9, hi: 2.1, bound: "round trips", peersN: 1,
			peers: []Peer{peer("far", 30*ms, 10*us, full), peer("near", 10*ms, 10*us, full)},
		},
		{
			name: "a far peer that alone holds something is used for that only", uses: []string{"far", "near"}, lo: .99, hi: 1.5, bound: "round trips", peersN: 2,
			peers: []Peer{peer("near", 10*ms, 10*us, on(m, 0, 120)), peer("far", 30*ms, 10*us, full)},
		},
		{
			name: "a slow uplink: bytes bound", uses: []string{"a"}, lo: 0.5, hi: 2, bound: "bytes", peersN: 1,
			peers: []Peer{{ID: "a", RTT: ms, Rate: 500_000, Expert: 10 * us, Holds: full}},
		},
		{
			name: "a queue: the peer bounds, the other replica is taken", uses: []string{"idle"}, unused: []string{"busy"}, lo: 5, hi: 8, bound: "round trips", peersN: 1,
			peers: []Peer{{ID: "busy", RTT: ms, Queue: 50 * ms, Holds: full}, {ID: "idle", RTT: 3 * ms, Holds: full}},
		},
		{
			name: "layers here ask nobody", uses: []string{"a"}, lo: 3.5, hi: 4.2, bound: "round trips", peersN: 1,
			peers: []Peer{peer("a", 10*ms, 10*us, full)},
			self: func(s *Machine) {
				s.Expert = 10 * us
				s.Holds = experts.Holdings{}
				for l := range 24 {
					s.Holds[l] = span(0, 128)
				}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			self := coordinator()
			if c.self != nil {
				c.self(&self)
			}
			got := planner(t, Swarm{Model: m, Wire: bf16(2048), Self: self, Peers: c.peers}).Plan(0)
			if speed := got.TokensPerSecond(); speed < c.lo || speed > c.hi {
				t.Errorf("%.3f tokens/s, want %v to %v (%+v)", speed, c.lo, c.hi, got.Time)
			}
			used := got.Peers()
			if len(used) != c.peersN {
				t.Errorf("uses %v, want %d peers", used, c.peersN)
			}
			for _, id := range c.uses {
				if !slices.Contains(used, id) {
					t.Errorf("uses %v, want %s among them", used, id)
				}
			}
			for _, id := range c.unused {
				if slices.Contains(used, id) {
					t.Errorf("uses %v, want %s left out", used, id)
				}
			}
			if b := got.Time.Bound(); b != c.bound {
				t.Errorf("bound by %s, want %s (%+v)", b, c.bound, got.Time)
			}
			for _, l := range got.Layers {
				if far := l.Experts["far"]; c.name[:5] == "a far" && !slices.Equal(far, span(120, 128)) {
					t.Errorf("layer %d: the far peer has experts %v", l.Layer, far.Experts())
				}
			}
		})
	}
}

// The law: with nothing but round trips the speed is 1 / (layers x RTT).
func TestRoundTripsAloneGiveTheLaw(t *testing.T) {
	for _, c := range []struct {
		rtt  time.Duration
		want float64
	}{{200 * time.Microsecond, 104.2}, {ms, 20.83}, {10 * ms, 2.083}, {30 * ms, .694}, {100 * ms, .208}} {
		s := Swarm{Model: qwen(), Peers: []Peer{{ID: "a", RTT: c.rtt, Holds: on(qwen(), 0, 128)}}}
		if got := planner(t, s).Plan(0).TokensPerSecond(); math.Abs(got/c.want-1) > .002 {
			t.Errorf("RTT %v: %.3f tokens/s, want %.3f", c.rtt, got, c.want)
		}
	}
}

func TestHoles(t *testing.T) {
	m := Model{Layers: []int{1, 2}, Experts: 8, TopK: 2, ExpertBytes: 100}
	peer := Peer{ID: "a", RTT: ms, Holds: experts.Holdings{1: span(0, 8), 2: span(0, 6)}}
	p := planner(t, Swarm{Model: m, Self: coordinator(), Peers: []Peer{peer}})
	got := p.Plan(0)
	if got.Missing != 2 || got.TokensPerSecond() != 0 || !slices.Equal(got.Layers[1].Missing, []int{6, 7}) {
		t.Errorf("missing %d (%v) at %v tokens/s, want experts 6 and 7 of layer 2 and no speed", got.Missing, got.Layers[1].Missing, got.TokensPerSecond())
	}
	if held := got.Layers[1].Experts["a"]; held.Len() != 6 {
		t.Errorf("the peer has %v of layer 2, want what it holds", held.Experts())
	}
	// Memory for one layer closes the hole, since that gains most.
	if with := p.Plan(900); with.Missing != 0 || !slices.Equal(with.Here(), []int{2}) {
		t.Errorf("with memory for a layer: %d missing, layers %v here, want layer 2", with.Missing, with.Here())
	}
}

func TestMemoryTakesFirstAndLastLayers(t *testing.T) {
	m := qwen()
	s := Swarm{Model: m, Self: coordinator(), Peers: []Peer{{ID: "a", RTT: 10 * ms, Holds: on(m, 0, 128)}}}
	p := planner(t, s)
	if got := p.Plan(4*128*m.ExpertBytes + 5).Here(); !slices.Equal(got, []int{0, 1, 46, 47}) {
		t.Errorf("layers %v here, want 0, 1, 46, 47", got)
	}
	// A peer that is faster than this machine keeps its layers.
	s.Peers[0].RTT, s.Peers[0].Expert = 200*time.Microsecond, 10*time.Microsecond
	if got := planner(t, s).Plan(1 << 50).Here(); len(got) != 0 {
		t.Errorf("layers %v here, though the peer is faster", got)
	}
}

func TestCompare(t *testing.T) {
	m := qwen()
	s := Swarm{Model: m, Self: coordinator(), Peers: []Peer{
		{ID: "near", RTT: 5 * ms, Holds: on(m, 0, 128)}, {ID: "far", RTT: 50 * ms, Holds: on(m, 0, 128)},
		{ID: "other", RTT: 5 * ms, Holds: experts.Holdings{}},
	}}
	c := planner(t, s).Compare(1 << 40)
	if !c.Fits || !c.SwarmIsSlower() {
		t.Errorf("alone %.2f tokens/s fits %v, swarm %.2f: want the swarm slower", c.Alone.TokensPerSecond(), c.Fits, c.Swarm.TokensPerSecond())
	}
	if c.Mixed == nil || len(c.Mixed.Here()) != 48 {
		t.Error("with memory for all layers they are not all taken in")
	}
	if !slices.Equal(c.Unused, []string{"far", "other"}) {
		t.Errorf("unused %v, want far and other", c.Unused)
	}
	speeds := map[string]float64{}
	for _, r := range c.Without {
		speeds[r.Peer] = r.Plan.TokensPerSecond()
	}
	if whole := c.Swarm.TokensPerSecond(); speeds["far"] != whole || speeds["near"] > whole/5 {
		t.Errorf("speed %v, without each %v: only the near peer should matter", whole, speeds)
	}
	if c := planner(t, s).Compare(1 << 30); c.Fits || c.SwarmIsSlower() || c.Bytes != 48*128*m.ExpertBytes {
		t.Errorf("with 1 GB: fits %v, slower %v, %d bytes", c.Fits, c.SwarmIsSlower(), c.Bytes)
	}
	s.Peers = s.Peers[1:]
	s.Peers[0].Holds = on(m, 0, 100)
	if c := planner(t, s).Compare(0); c.Swarm.TokensPerSecond() != 0 || c.Swarm.Missing != 48*28 {
		t.Errorf("a swarm with holes has speed %v and %d missing", c.Swarm.TokensPerSecond(), c.Swarm.Missing)
	}
}

func TestKeep(t *testing.T) {
	m := Model{Layers: []int{0, 1}, Experts: 16, TopK: 4}
	full := experts.Holdings{0: span(0, 16), 1: span(0, 16)}
	swarm := func(a, b time.Duration, holders ...Peer) Swarm {
		return Swarm{Model: m, Peers: append([]Peer{{ID: "a", RTT: a, Holds: full}, {ID: "b", RTT: b, Holds: full}}, holders...)}
	}
	first := planner(t, swarm(20*ms, 21*ms)).Plan(0)
	if !slices.Equal(first.Peers(), []string{"a"}) {
		t.Fatalf("uses %v, want the nearer peer", first.Peers())
	}
	if kept := planner(t, swarm(21*ms, 20*ms)).Keep(first, .1); !slices.Equal(kept.Peers(), []string{"a"}) {
		t.Errorf("uses %v after a change of 5 %%, want what was there", kept.Peers())
	} else if want := 1 / (2 * .021); math.Abs(kept.TokensPerSecond()-want) > 1e-9 {
		t.Errorf("predicts %v tokens/s, want %v by what is measured now", kept.TokensPerSecond(), want)
	}
	if moved := planner(t, swarm(25*ms, 20*ms)).Keep(first, .1); !slices.Equal(moved.Peers(), []string{"b"}) {
		t.Errorf("uses %v after a change of 25 %%, want the other", moved.Peers())
	}
	gone := swarm(20*ms, 21*ms)
	gone.Peers = gone.Peers[1:]
	if moved := planner(t, gone).Keep(first, .1); !slices.Equal(moved.Peers(), []string{"b"}) || moved.Missing > 0 {
		t.Errorf("uses %v after the peer left", moved.Peers())
	}
	less := swarm(20*ms, 21*ms)
	less.Peers[0].Holds = experts.Holdings{0: span(0, 16), 1: span(0, 8)}
	if moved := planner(t, less).Keep(first, .1); moved.Missing > 0 || moved.Layers[1].Experts["b"].Len() < 8 {
		t.Errorf("layer 1 is %v after the peer dropped experts", moved.Layers[1].Experts)
	}
	if same := planner(t, swarm(20*ms, 21*ms)).Keep(nil, .1); !slices.Equal(same.Peers(), []string{"a"}) {
		t.Errorf("uses %v without a plan before", same.Peers())
	}
}

func TestValidate(t *testing.T) {
	good := func() Swarm {
		return Swarm{Model: Model{Layers: []int{0, 1}, Experts: 8, TopK: 2}, Peers: []Peer{{ID: "a"}, {ID: "b"}}}
	}
	if _, err := New(good()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Swarm){
		"no experts":     func(s *Swarm) { s.Model.Experts = 0 },
		"top-k":          func(s *Swarm) { s.Model.TopK = 9 },
		"no layers":      func(s *Swarm) { s.Model.Layers = nil },
		"layer order":    func(s *Swarm) { s.Model.Layers = []int{1, 0} },
		"layer twice":    func(s *Swarm) { s.Model.Layers = []int{1, 1} },
		"no id":          func(s *Swarm) { s.Peers[0].ID = "" },
		"id twice":       func(s *Swarm) { s.Peers[0].ID = "b" },
		"negative RTT":   func(s *Swarm) { s.Peers[0].RTT = -1 },
		"endless queue":  func(s *Swarm) { s.Peers[1].Queue = 2 * time.Hour },
		"rate":           func(s *Swarm) { s.Peers[1].Rate = math.NaN() },
		"own rate":       func(s *Swarm) { s.Self.Rate = math.Inf(1) },
		"trunk":          func(s *Swarm) { s.Self.Trunk = -ms },
		"message sizes":  func(s *Swarm) { s.Wire.Reply = -1 },
		"expert of less": func(s *Swarm) { s.Model.ExpertBytes = -1 },
	} {
		s := good()
		spoil(&s)
		if _, err := New(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
