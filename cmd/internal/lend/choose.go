package lend

import (
	"context"
	"fmt"
	"time"

	"shoal/experts"
	"shoal/experts/host"
	"shoal/p2p"
	"shoal/rdrr"
)

// restriction is what --layers and --experts allow, nil if they were left out.
func (n *Node) restriction(moe *rdrr.MoE) (experts.Holdings, error) {
	if n.Layers == "" && n.Experts == "" {
		return nil, nil
	}
	layers, list := moe.Layers, make([]int, moe.Experts)
	for e := range list {
		list[e] = e
	}
	var err error
	if n.Layers != "" {
		if layers, err = experts.ParseRanges("layer", n.Layers, moe.Layers[len(moe.Layers)-1]+1); err != nil {
			return nil, fmt.Errorf("--layers: %w", err)
		}
	}
	if n.Experts != "" {
		if list, err = experts.ParseRanges("expert", n.Experts, moe.Experts); err != nil {
			return nil, fmt.Errorf("--experts: %w", err)
		}
	}
	only := experts.Holdings{}
	for _, l := range layers {
		only[l] = experts.SetOf(list...)
	}
	return only, nil
}

// lookAround is how long a joining node looks for what others hold before it chooses.
const lookAround = 3 * time.Second

// choose is what the flags name, or else what fits in the memory lent, least replicated first.
func (n *Node) choose(ctx context.Context, swarm *p2p.Host, bank *host.Host, only experts.Holdings) (experts.Holdings, error) {
	if n.Memory != 0 {
		bank.SetBudget(int64(n.Memory))
	}
	if only != nil {
		return only, nil
	}
	moe := bank.MoE()
	fits := int(min(n.capacity()/bank.ExpertBytes(), int64(moe.Experts*len(moe.Layers))))
	if fits == 0 {
		return nil, fmt.Errorf("--memory: one expert takes %d bytes, more than the %d lent", bank.ExpertBytes(), n.capacity())
	}
	others, err := n.others(ctx, swarm, bank)
	if err != nil {
		return nil, err
	}
	return host.Choose(host.Placement{Layers: moe.Layers, Experts: moe.Experts, Capacity: fits, Others: others}), nil
}

// others is what the nodes of the swarm hold, as far as it is known after a short look.
func (n *Node) others(ctx context.Context, swarm *p2p.Host, bank *host.Host) ([]experts.Holdings, error) {
	if len(n.Bootstrap) == 0 {
		return nil, nil
	}
	directory, err := p2p.NewDirectory(swarm, p2p.DirectoryConfig{Model: bank.Model(), Layers: bank.MoE().Layers})
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	look, cancel := context.WithTimeout(ctx, lookAround)
	defer cancel()
	// The wait ends with the time for it: how many nodes there are is not known, so none of them is the last.
	_ = directory.Wait(look, func([]experts.Holder) bool { return false })
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []experts.Holdings
	for _, holder := range directory.Holders() {
		out = append(out, holder.Holds)
	}
	return out, nil
}
