package host

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"shoal/gpu"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// bank is some experts of one layer, stacked: expert experts[s] is matrix s of each stack. A bank does not change once it is
// loaded. A whole layer's slots are its expert numbers.
type bank struct {
	experts []int       // ascending
	slot    map[int]int // expert -> slot

	gate, up, down             gpu.Matrix // [slots, intermediate, hidden] twice, [slots, hidden, intermediate]
	gateBias, upBias, downBias gpu.Buffer // [slots, intermediate] twice, [slots, hidden]; nil if the model has none

	stacks bool // the device does (gpu.Info)
	// On a device that stacks, gate and up lie row by row in one matrix, as gpu.Pass.MatMulExpertsGated takes them, in place of two.
	pairs     gpu.Matrix // [slots, 2*intermediate, hidden]
	pairsBias gpu.Buffer // [slots, 2*intermediate]
}

// loadBank reads the experts of a layer into a new bank. Several are read and verified at the same time.
func loadBank(ctx context.Context, dev gpu.Device, m *rdrr.Model, moe rdrr.MoE, layer int, list []int) (b *bank, err error) {
	b = &bank{experts: list, slot: make(map[int]int, len(list))}
	for s, e := range list {
		b.slot[e] = s
	}
	defer func() {
		if err != nil {
			b.free()
			b = nil
		}
	}()
	if err := b.allocate(dev, m.Manifest(), moe, layer); err != nil {
		return b, err
	}
	var device sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(runtime.GOMAXPROCS(0), 8))
	for slot, e := range list {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			expert, err := m.Expert(layer, e)
			if err != nil {
				return err
			}
			device.Lock()
			defer device.Unlock()
			if err := b.load(dev, moe, slot, expert); err != nil {
				return fmt.Errorf("expert %d: %w", e, err)
			}
			return nil
		})
	}
	return b, group.Wait()
}

// allocate makes the stacks, in the formats of the first expert.
func (b *bank) allocate(dev gpu.Device, m *rdrr.Manifest, moe rdrr.MoE, layer int) error {
	type stack struct {
		dst        *gpu.Matrix
		part       rdrr.ExpertPart
		rows, cols int
	}
	stacks := []stack{{&b.gate, rdrr.GateWeight, moe.Intermediate, moe.Hidden}, {&b.up, rdrr.UpWeight, moe.Intermediate, moe.Hidden}, {&b.down, rdrr.DownWeight, moe.Hidden, moe.Intermediate}}
	b.stacks = dev.Info().Stacks
	paired := b.stacks && alike(m, layer, b.experts[0])
	if paired {
		stacks = []stack{{&b.pairs, rdrr.GateWeight, 2 * moe.Intermediate, moe.Hidden}, stacks[2]}
	}
	for _, part := range stacks {
		name := rdrr.ExpertTensor(layer, b.experts[0], part.part)
		entry, ok := m.Tensor(name)
		if !ok {
			return fmt.Errorf("the artifact has no tensor %s", name)
		}
		label := fmt.Sprintf("layer %d %s of %d experts", layer, part.part, len(b.experts))
		stack, err := dev.NewMatrix(label, entry.Type, len(b.experts), part.rows, part.cols)
		if err != nil {
			return err
		}
		*part.dst = stack
	}
	if !moe.Bias {
		return nil
	}
	type biases struct {
		dst  *gpu.Buffer
		part rdrr.ExpertPart
		n    int
	}
	list := []biases{{&b.gateBias, rdrr.GateBias, moe.Intermediate}, {&b.upBias, rdrr.UpBias, moe.Intermediate}, {&b.downBias, rdrr.DownBias, moe.Hidden}}
	if paired {
		list = []biases{{&b.pairsBias, rdrr.GateBias, 2 * moe.Intermediate}, list[2]}
	}
	for _, part := range list {
		label := fmt.Sprintf("layer %d %s of %d experts", layer, part.part, len(b.experts))
		vectors, err := dev.NewBuffer(label, gpu.F32, len(b.experts)*part.n)
		if err != nil {
			return err
		}
		*part.dst = vectors
	}
	return nil
}

// alike tells whether an expert's gate and up are of one format.
func alike(m *rdrr.Manifest, layer, expert int) bool {
	gate, ok := m.Tensor(rdrr.ExpertTensor(layer, expert, rdrr.GateWeight))
	up, both := m.Tensor(rdrr.ExpertTensor(layer, expert, rdrr.UpWeight))
	return ok && both && gate.Type == up.Type
}

// load copies one expert to the device.
func (b *bank) load(dev gpu.Device, moe rdrr.MoE, slot int, e *rdrr.Expert) error {
	type tensor struct {
		dst gpu.Matrix
		src *rdrr.Tensor
	}
	tensors := []tensor{{b.gate, e.Gate}, {b.up, e.Up}, {b.down, e.Down}}
	if b.pairs != nil {
		if err := b.loadPairs(slot, e); err != nil {
			return err
		}
		tensors = tensors[2:]
	}
	for _, part := range tensors {
		if err := checkMatrix(part.dst, part.src, 1); err != nil {
			return err
		}
		keep := part.dst.Load
		if a, ok := part.dst.(gpu.Aliaser); ok {
			keep = a.Alias // the artifact stays open longer than the host
		}
		if err := keep(slot, part.src.Data); err != nil {
			return fmt.Errorf("tensor %s: %w", part.src.Name, err)
		}
	}
	if !moe.Bias {
		return nil
	}
	var values [3][]float32
	for i, part := range []struct {
		src  *rdrr.Tensor
		what rdrr.ExpertPart
		n    int
	}{{e.GateBias, rdrr.GateBias, moe.Intermediate}, {e.UpBias, rdrr.UpBias, moe.Intermediate}, {e.DownBias, rdrr.DownBias, moe.Hidden}} {
		if part.src == nil {
			return fmt.Errorf("has no %s, though the model's experts have biases", part.what)
		}
		var err error
		if values[i], err = part.src.Floats(); err != nil {
			return err
		}
		if len(values[i]) != part.n {
			return fmt.Errorf("tensor %s has %d values, want %d", part.src.Name, len(values[i]), part.n)
		}
	}
	dsts := []gpu.Buffer{b.gateBias, b.upBias, b.downBias}
	if b.pairs != nil {
		both := make([]float32, 0, 2*moe.Intermediate)
		for i, v := range values[0] {
			both = append(both, v, values[1][i])
		}
		values[1], dsts = both, []gpu.Buffer{nil, b.pairsBias, b.downBias}
	}
	for i, dst := range dsts {
		if dst == nil {
			continue
		}
		if err := dev.WriteFloats(dst, slot*len(values[i]), values[i]); err != nil {
			return fmt.Errorf("biases: %w", err)
		}
	}
	return nil
}

// loadPairs loads gate and up row by row.
func (b *bank) loadPairs(slot int, e *rdrr.Expert) error {
	for _, t := range []*rdrr.Tensor{e.Gate, e.Up} {
		if err := checkMatrix(b.pairs, t, 2); err != nil {
			return err
		}
	}
	if err := b.pairs.Load(slot, rdrr.Interleave(e.Gate.Data, e.Up.Data, e.Gate.Rows())); err != nil {
		return fmt.Errorf("tensors %s and %s: %w", e.Gate.Name, e.Up.Name, err)
	}
	return nil
}

// checkMatrix reports a tensor that is not one of so many that share a matrix of its stack: experts of one layer share shapes and
// formats.
func checkMatrix(stack gpu.Matrix, t *rdrr.Tensor, share int) error {
	type form struct {
		quant.Type
		rows, cols int
	}
	got, want := form{t.Type, t.Rows(), t.Cols()}, form{stack.Type(), stack.Rows() / share, stack.Cols()}
	if got != want {
		return fmt.Errorf("tensor %s is %s [%d, %d], the layer's first expert is %s [%d, %d]; experts of one layer are run together and must be alike",
			t.Name, got.Type, got.rows, got.cols, want.Type, want.rows, want.cols)
	}
	return nil
}

// record adds the gated FFN to a pass: y[i, j, :] = down(act(gate x) * up x) for the slot numbers ids [n, k]; a number that is
// no slot gives zeros. x [n, hidden], y [n, k, hidden].
func (b *bank) record(p gpu.Pass, y, x, ids gpu.Buffer, in inner, n, k int, a gpu.Activation) {
	b.recordGated(p, x, ids, in, n, k, a)
	p.MatMulExperts(y, in.product, b.down, b.downBias, ids, n, k, true)
}

// recordAdd is record and then the weighted sum of y, which is scratch: sum[i, :] += sum over j of weights[i, j] * y[i, j, :].
func (b *bank) recordAdd(p gpu.Pass, sum, y, x, ids, weights gpu.Buffer, in inner, n, k int, a gpu.Activation) {
	if !b.stacks {
		b.record(p, y, x, ids, in, n, k, a)
		p.Combine(sum, y, weights, n, k, b.down.Rows())
		return
	}
	b.recordGated(p, x, ids, in, n, k, a)
	p.MatMulExpertsAdd(sum, in.product, b.down, b.downBias, ids, weights, y, n, k)
}

// recordGated leaves act(gate x) * up x in in.product.
func (b *bank) recordGated(p gpu.Pass, x, ids gpu.Buffer, in inner, n, k int, a gpu.Activation) {
	if b.pairs != nil {
		p.MatMulExpertsGated(in.product, x, b.pairs, b.pairsBias, ids, n, k, a)
		return
	}
	p.MatMulExperts(in.gate, x, b.gate, b.gateBias, ids, n, k, false)
	p.MatMulExperts(in.up, x, b.up, b.upBias, ids, n, k, false)
	p.Activate(in.product, in.gate, in.up, n*k*b.gate.Rows(), a)
}

func (b *bank) bytes() int64 {
	n := int64(0)
	for _, m := range []gpu.Matrix{b.gate, b.up, b.pairs, b.down} {
		if m != nil {
			n += m.Bytes()
		}
	}
	for _, v := range []gpu.Buffer{b.gateBias, b.upBias, b.pairsBias, b.downBias} {
		if v != nil {
			n += 4 * int64(v.Len())
		}
	}
	return n
}

func (b *bank) free() {
	for _, m := range []gpu.Matrix{b.gate, b.up, b.pairs, b.down} {
		if m != nil {
			m.Free()
		}
	}
	for _, v := range []gpu.Buffer{b.gateBias, b.upBias, b.pairsBias, b.downBias} {
		if v != nil {
			v.Free()
		}
	}
}
