package setup

import (
	"errors"
	"fmt"
	"slices"

	"shoal/cmd/internal/console"
	"shoal/experts"
	"shoal/experts/host"
)

// localLayers are the layers whose experts this process runs itself: all of them if it is alone.
func (f EngineFlags) localLayers(e *Engine) ([]int, error) {
	layers := e.config.MoE.Layers
	switch {
	case f.Local != "" && f.LocalMemory != 0:
		return nil, errors.New("--local and --local-memory: want one of them")
	case f.Local != "":
		list, err := experts.ParseRanges("layer", f.Local, layers[len(layers)-1]+1)
		if err != nil {
			return nil, fmt.Errorf("--local: %w", err)
		}
		return list, nil
	case len(f.Bootstrap) == 0 && f.LocalMemory != 0:
		return nil, errors.New("--local-memory: without --bootstrap this process holds all layers")
	case len(f.Bootstrap) == 0:
		return layers, nil
	case f.LocalMemory == 0:
		return nil, nil
	}
	bank, err := host.New(e.Device, e.Model)
	if err != nil {
		return nil, err
	}
	defer bank.Close()
	perLayer := int64(e.config.MoE.Experts) * bank.ExpertBytes()
	if perLayer > int64(f.LocalMemory) {
		console.Warn("--local-memory: the experts of one layer take %s; none is kept", console.Bytes(perLayer))
	}
	return outermost(layers, int64(f.LocalMemory)/perLayer), nil
}

// outermost returns n of the ascending layers, all if there are fewer: the first and the last first, then those next to them.
// Any other n would save as many round trips; these leave the layers elsewhere in one run, which few peers can hold.
func outermost(layers []int, n int64) []int {
	if n >= int64(len(layers)) {
		return layers
	}
	front, back := int(n+1)/2, int(n)/2
	return slices.Concat(layers[:front], layers[len(layers)-back:])
}
