package setup

import (
	"context"
	"sync"
	"time"

	"shoal/p2p"
	"shoal/router"
	"shoal/router/plan"
)

const (
	planEvery = 3 * time.Second
	// planShare is how much slower than a new plan the one that is followed may be before it is given up.
	planShare = .1
	planCalls = 32 // to all peers, before the first plan
)

// followPlans plans anew, as long as the engine is open, by what the swarm's calls and pings tell, and has the swarm follow.
// While there is nothing to choose from, or nothing is asked, it does nothing.
func (e *Engine) followPlans(swarm *router.Swarm) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	e.onClose(func() {
		cancel()
		wg.Wait()
	})
	wg.Go(func() {
		ticker := time.NewTicker(planEvery)
		defer ticker.Stop()
		var current *plan.Plan
		seen := 0
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			s, calls := e.known(swarm)
			if len(s.Peers) < 2 || calls < planCalls || calls == seen {
				continue
			}
			seen = calls
			planner, err := plan.New(s)
			if err != nil { // something was measured that cannot be planned with
				current = nil
			} else {
				current = planner.Keep(current, planShare)
			}
			swarm.Follow(current)
		}
	})
}

// known is the swarm as calls of sessions and pings have shown it, and how many calls that were. A peer that was not asked yet
// counts with its pings and what it says of its speed.
func (e *Engine) known(swarm *router.Swarm) (s plan.Swarm, calls int) {
	s = plan.Swarm{Model: e.planModel(), Self: plan.Machine{Holds: e.held()}}
	claims := map[string]float64{} // rows per second
	for _, p := range e.Directory.Peers() {
		if p.Record != nil {
			claims[p.ID.String()] = p.Record.RowsPerSecond
		}
	}
	for _, h := range e.Directory.Holders() {
		u := swarm.Usual(h.Peer)
		calls += u.Calls
		p := plan.Peer{ID: h.Peer, Holds: h.Holds, Queue: u.Queue, Late: u.Late}
		if r, ok := h.Runner.(router.Pinged); ok {
			p.RTT = r.RTT()
		}
		if rows := claims[h.Peer]; rows > 0 {
			p.Expert = time.Duration(min(1/rows, time.Hour.Seconds()) * float64(time.Second))
		}
		if u.Calls > 0 { // what was measured comes before what is said
			rest := u.Took - u.Compute - u.Queue - u.Codec
			p.RTT = max(0, min(p.RTT, rest))
			if u.Slots > 0 {
				p.Expert = min(p.Expert, time.Duration(float64(u.Compute)/u.Slots))
			}
			p.Call = max(0, u.Compute-time.Duration(u.Slots*float64(p.Expert))) + max(0, rest-p.RTT)
			s.Self.Message = max(s.Self.Message, u.Codec)
		}
		s.Peers = append(s.Peers, p)
	}
	return s, calls
}

var _ router.Pinged = (*p2p.Remote)(nil)
