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
	for _, part := range []struct {
		dst        *gpu.Matrix
		part       rdrr.ExpertPart
		rows, cols int
	}{{&b.gate, rdrr.GateWeight, moe.Intermediate, moe.Hidden}, {&b.up, rdrr.UpWeight, moe.Intermediate, moe.Hidden}, {&b.down, rdrr.DownWeight, moe.Hidden, moe.Intermediate}} {
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
	for _, part := range []struct {
		dst  *gpu.Buffer
		part rdrr.ExpertPart
		n    int
	}{{&b.gateBias, rdrr.GateBias, moe.Intermediate}, {&b.upBias, rdrr.UpBias, moe.Intermediate}, {&b.downBias, rdrr.DownBias, moe.Hidden}} {
		label := fmt.Sprintf("layer %d %s of %d experts", layer, part.part, len(b.experts))
		vectors, err := dev.NewBuffer(label, gpu.F32, len(b.experts)*part.n)
		if err != nil {
			return err
		}
		*part.dst = vectors
	}
	return nil
}

// load copies one expert to the device.
func (b *bank) load(dev gpu.Device, moe rdrr.MoE, slot int, e *rdrr.Expert) error {
	for _, part := range []struct {
		dst gpu.Matrix
		src *rdrr.Tensor
	}{{b.gate, e.Gate}, {b.up, e.Up}, {b.down, e.Down}} {
		if err := checkMatrix(part.dst, part.src); err != nil {
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
	for _, part := range []struct {
		dst  gpu.Buffer
		src  *rdrr.Tensor
		what rdrr.ExpertPart
		n    int
	}{{b.gateBias, e.GateBias, rdrr.GateBias, moe.Intermediate}, {b.upBias, e.UpBias, rdrr.UpBias, moe.Intermediate}, {b.downBias, e.DownBias, rdrr.DownBias, moe.Hidden}} {
		if part.src == nil {
			return fmt.Errorf("has no %s, though the model's experts have biases", part.what)
		}
		values, err := part.src.Floats()
		if err != nil {
			return err
		}
		if len(values) != part.n {
			return fmt.Errorf("tensor %s has %d values, want %d", part.src.Name, len(values), part.n)
		}
		if err := dev.WriteFloats(part.dst, slot*part.n, values); err != nil {
			return fmt.Errorf("tensor %s: %w", part.src.Name, err)
		}
	}
	return nil
}

// checkMatrix reports a tensor that does not fit its stack: experts of one layer share shapes and formats.
func checkMatrix(stack gpu.Matrix, t *rdrr.Tensor) error {
	type form struct {
		quant.Type
		rows, cols int
	}
	got, want := form{t.Type, t.Rows(), t.Cols()}, form{stack.Type(), stack.Rows(), stack.Cols()}
	if got != want {
		return fmt.Errorf("tensor %s is %s [%d, %d], the layer's first expert is %s [%d, %d]; experts of one layer are run together and must be alike",
			t.Name, got.Type, got.rows, got.cols, want.Type, want.rows, want.cols)
	}
	return nil
}

// record adds the gated FFN to a pass: y[i, j, :] = down(act(gate x) * up x) for the slot numbers ids [n, k]; a number that is
// no slot gives zeros. x [n, hidden], y [n, k, hidden].
func (b *bank) record(p gpu.Pass, y, x, ids gpu.Buffer, in inner, n, k int, a gpu.Activation) {
	p.MatMulExperts(in.gate, x, b.gate, b.gateBias, ids, n, k, false)
	p.MatMulExperts(in.up, x, b.up, b.upBias, ids, n, k, false)
	p.Activate(in.product, in.gate, in.up, n*k*b.gate.Rows(), a)
	p.MatMulExperts(y, in.product, b.down, b.downBias, ids, n, k, true)
}

func (b *bank) bytes() int64 {
	n := int64(0)
	for _, m := range []gpu.Matrix{b.gate, b.up, b.down} {
		n += m.Bytes()
	}
	for _, v := range []gpu.Buffer{b.gateBias, b.upBias, b.downBias} {
		if v != nil {
			n += 4 * int64(v.Len())
		}
	}
	return n
}

func (b *bank) free() {
	for _, m := range []gpu.Matrix{b.gate, b.up, b.down} {
		if m != nil {
			m.Free()
		}
	}
	for _, v := range []gpu.Buffer{b.gateBias, b.upBias, b.downBias} {
		if v != nil {
			v.Free()
		}
	}
}
