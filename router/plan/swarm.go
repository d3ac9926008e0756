package plan

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"shoal/experts"
)

// Swarm is what is known of a model, of this machine and of the peers.
type Swarm struct {
	Model Model
	Wire  Wire
	Self  Machine
	Peers []Peer // in any order; their IDs differ
}

// Model is what decides the work of a token.
type Model struct {
	Layers      []int // those with routed experts, ascending
	Experts     int   // of each layer
	TopK        int   // that a token passes through in each layer
	ExpertBytes int64 // that one expert takes in memory
}

// Wire is the size of messages in bytes: the request for one row and its answer, and what each expert asked for adds to them.
type Wire struct {
	Request, Reply         int
	RequestSlot, ReplySlot int
}

// Machine is the coordinator.
type Machine struct {
	// Trunk is the time of one token without routed experts.
	Trunk time.Duration
	// Expert is the time that one row takes in one expert here.
	Expert time.Duration
	// Sync is what a layer with experts elsewhere adds: the trunk is stopped, read back, and started again.
	Sync time.Duration
	// Message is the work of sending one message and taking its answer, codec included.
	Message time.Duration
	// Rate is what this machine's link carries each way, in bytes per second, shared by all peers; 0: it is no limit.
	Rate float64
	// Holds are the experts that are here already.
	Holds experts.Holdings
}

// Peer is somebody else who holds experts.
type Peer struct {
	ID    string // not empty
	Holds experts.Holdings
	RTT   time.Duration // round trip of a message without work
	Rate  float64       // what the link to the peer carries each way, in bytes per second; 0: it is no limit
	Call  time.Duration // of the peer's work for one row, what does not depend on the number of experts
	// Expert is the time that one row takes in one expert there.
	Expert time.Duration
	Queue  time.Duration // that a request waits there before its turn
	// Late is how much longer one answer in twenty takes, as the 95th percentile less the median.
	Late time.Duration
}

// The limits of what is planned for.
const (
	maxExperts = 1 << 14
	maxTopK    = 128
	maxLayers  = 1 << 12
	longest    = time.Hour // of every duration
)

// Validate reports everything about the swarm that cannot be planned with.
func (s Swarm) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	duration := func(who, what string, d time.Duration) {
		check(d >= 0 && d <= longest, "%s: %s of %v: want 0 to %v", who, what, d, longest)
	}
	rate := func(who string, r float64) {
		check(r >= 0 && !math.IsInf(r, 0), "%s: link of %v bytes per second", who, r)
	}
	m := s.Model
	check(m.Experts > 0 && m.Experts <= maxExperts, "%d experts a layer: want 1 to %d", m.Experts, maxExperts)
	check(m.TopK > 0 && m.TopK <= min(m.Experts, maxTopK), "top-%d of %d experts: want 1 to %d", m.TopK, m.Experts, min(m.Experts, maxTopK))
	check(len(m.Layers) > 0 && len(m.Layers) <= maxLayers, "%d layers with experts: want 1 to %d", len(m.Layers), maxLayers)
	check(slices.IsSorted(m.Layers) && len(slices.Compact(slices.Clone(m.Layers))) == len(m.Layers), "layers %v: want each once, ascending", m.Layers)
	check(m.ExpertBytes >= 0, "an expert of %d bytes", m.ExpertBytes)
	w := s.Wire
	check(min(w.Request, w.Reply, w.RequestSlot, w.ReplySlot) >= 0, "messages of %+v bytes", w)
	duration("this machine", "trunk time", s.Self.Trunk)
	duration("this machine", "expert time", s.Self.Expert)
	duration("this machine", "time to stop the trunk", s.Self.Sync)
	duration("this machine", "time of a message", s.Self.Message)
	rate("this machine", s.Self.Rate)
	seen := map[string]bool{}
	for _, p := range s.Peers {
		check(p.ID != "", "a peer without an id")
		check(!seen[p.ID], "peer %s is there twice", p.ID)
		seen[p.ID] = true
		who := "peer " + p.ID
		duration(who, "round trip", p.RTT)
		duration(who, "call time", p.Call)
		duration(who, "expert time", p.Expert)
		duration(who, "queue", p.Queue)
		duration(who, "lateness", p.Late)
		rate(who, p.Rate)
	}
	return errors.Join(errs...)
}
