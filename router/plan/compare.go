package plan

import (
	"slices"
	"strings"
)

// Comparison is what a swarm is worth.
type Comparison struct {
	Alone *Plan // everything in this process
	// Fits tells whether this process has the memory for that, which is Bytes.
	Fits  bool
	Bytes int64
	// Swarm uses the peers, and this process for what it holds already.
	Swarm *Plan
	// Mixed is Swarm with as many whole layers in this process as fit and gain by it; nil if that is no faster.
	Mixed   *Plan
	Without []Removal // by peer
	Unused  []string  // peers that have no part in Swarm, since they would slow it down or add nothing
}

// Removal is the swarm without one peer.
type Removal struct {
	Peer string
	Plan *Plan
}

// Compare plans with the swarm, alone, and without each peer. memory is what this process has for experts, in bytes, those
// that it holds already included.
func (p *Planner) Compare(memory int64) Comparison {
	c := Comparison{Alone: p.Alone(), Bytes: p.Bytes(), Swarm: p.Plan(0)}
	c.Fits = c.Bytes <= memory
	for _, peer := range p.swarm.Peers {
		c.Without = append(c.Without, Removal{peer.ID, p.Without(peer.ID, 0)})
	}
	slices.SortFunc(c.Without, func(a, b Removal) int { return strings.Compare(a.Peer, b.Peer) })
	for _, r := range c.Without { // a search among many peers may miss what it finds among fewer
		if r.Plan.TokensPerSecond() > c.Swarm.TokensPerSecond() {
			c.Swarm = r.Plan
		}
	}
	used := c.Swarm.Peers()
	for _, r := range c.Without {
		if !slices.Contains(used, r.Peer) {
			c.Unused = append(c.Unused, r.Peer)
		}
	}
	held := int64(len(c.Swarm.Here())) * p.layerBytes()
	if mixed := p.Plan(memory - held); mixed.TokensPerSecond() > c.Swarm.TokensPerSecond() {
		c.Mixed = mixed
	}
	return c
}

// SwarmIsSlower reports whether this process alone, with the memory that it has, is predicted to be faster than the swarm.
func (c Comparison) SwarmIsSlower() bool {
	return c.Fits && c.Alone.TokensPerSecond() > c.Swarm.TokensPerSecond()
}
