package setup

import (
	"time"

	"shoal/experts"
	"shoal/router"
	"shoal/router/plan"
)

// planModel is what a planner needs to know of the engine's model, without the size of its experts.
func (e *Engine) planModel() plan.Model {
	moe := e.config.MoE
	return plan.Model{Layers: moe.Layers, Experts: moe.Experts, TopK: moe.TopK}
}

// held is what this process holds.
func (e *Engine) held() experts.Holdings {
	if e.Local == nil {
		return nil
	}
	return e.Local.Holdings()
}

// Predict is the speed that a generation should have had by what it measured of the trunk and of each peer, in tokens per
// second; 0 if it asked no peers. What is measured beyond it, a token spent on waiting for something else.
func (e *Engine) Predict(r router.Report) float64 {
	if !e.Remote() || r.RemoteCalls == 0 || r.TokensPerPass == 0 {
		return 0
	}
	span := func(ms float64) time.Duration { return time.Duration(max(ms, 0) * float64(time.Millisecond)) }
	t := r.Time
	s := plan.Swarm{
		Model: e.planModel(),
		Self:  plan.Machine{Trunk: span((t.Trunk + t.Sample + t.Guess + t.Other) * r.TokensPerPass), Holds: e.held()},
	}
	measured := map[string]router.PeerReport{}
	for _, p := range r.Peers {
		measured[p.ID] = p
	}
	for _, h := range e.Directory.Holders() {
		p, ok := measured[h.Peer]
		if !ok {
			continue // nothing is known of it, and the router did well without
		}
		s.Peers = append(s.Peers, plan.Peer{
			ID: h.Peer, Holds: h.Holds, RTT: span(p.RTT), Call: span(max(p.P50-p.RTT-p.Queue, p.Compute+p.Codec)), Queue: span(p.Queue),
			Late: span(p.P95 - p.P50),
		})
	}
	planner, err := plan.New(s)
	if err != nil {
		return 0
	}
	return planner.Plan(0).TokensPerSecond() * r.TokensPerPass
}
