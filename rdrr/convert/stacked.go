package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"shoal/rdrr"
	"shoal/rdrr/convert/safetensors"
	"shoal/rdrr/quant"
)

// Some checkpoints stack the experts E of a layer in one tensor, gate and up projection together. With H hidden and I
// intermediate dimensions, the layouts are
//
//	gate_up_proj         [E, 2I, H] or, transposed, [E, H, 2I]; gate rows before up rows, or alternating (GPT-OSS)
//	down_proj            [E, H, I] or, transposed, [E, I, H]
//	gate_up_proj_bias    [E, 2I]
//	down_proj_bias       [E, H]
//	gate_up_proj_blocks  [E, 2I, H/32, 16] nibbles of MXFP4, with gate_up_proj_scales [E, 2I, H/32]
//	down_proj_blocks     [E, H, I/32, 16], with down_proj_scales [E, H, I/32]
//
// and gate_proj and up_proj alone like half of gate_up_proj.

// splitStacked takes the canonical name of a tensor of stacked experts apart.
func splitStacked(name string) (layer int, part string, ok bool) {
	_, rest, found := strings.Cut(name, ".mlp.experts.")
	if !found {
		return 0, "", false
	}
	part = strings.TrimSuffix(rest, ".weight")
	for _, p := range []string{"gate_up_proj", "gate_proj", "up_proj", "down_proj"} {
		if tail, ok := strings.CutPrefix(part, p); ok {
			return rdrr.LayerOf(name), part, slices.Contains([]string{"", "_bias", "_blocks", "_scales"}, tail)
		}
	}
	return 0, "", false
}

// slice says which rows of an expert's stacked matrix make up one canonical tensor: n rows, from first in steps.
type slice struct {
	part           rdrr.ExpertPart
	first, step, n int
}

func (h *hub) stacked(layer int, part string, t *safetensors.Tensor) ([]Stored, error) {
	if h.moe == nil || !slices.Contains(h.moe.Layers, layer) {
		return nil, fmt.Errorf("has experts, but the configuration gives layer %d none", layer)
	}
	base, kind, _ := strings.Cut(part, "_proj")
	cut, rows, cols := h.slices(base, kind == "_bias")
	switch kind {
	case "_scales":
		if h.checkpoint.Tensor(strings.TrimSuffix(t.Name, "_scales")+"_blocks") == nil {
			return nil, errors.New("is a scale without weights")
		}
		return nil, nil
	case "_blocks":
		return h.stackedMXFP4(layer, cut, rows, cols, t)
	}
	return h.stackedFloats(layer, cut, rows, cols, t)
}

// slices returns how a stacked matrix of an expert, [rows, cols] if not transposed, is cut.
func (h *hub) slices(base string, bias bool) (cut []slice, rows, cols int) {
	gate, up, down := rdrr.GateWeight, rdrr.UpWeight, rdrr.DownWeight
	inter, hidden := h.moe.Intermediate, h.moe.Hidden
	if bias {
		gate, up, down = rdrr.GateBias, rdrr.UpBias, rdrr.DownBias
	}
	switch {
	case base == "gate_up" && h.interleave:
		cut, rows, cols = []slice{{gate, 0, 2, inter}, {up, 1, 2, inter}}, 2*inter, hidden
	case base == "gate_up":
		cut, rows, cols = []slice{{gate, 0, 1, inter}, {up, inter, 1, inter}}, 2*inter, hidden
	case base == "gate":
		cut, rows, cols = []slice{{gate, 0, 1, inter}}, inter, hidden
	case base == "up":
		cut, rows, cols = []slice{{up, 0, 1, inter}}, inter, hidden
	default:
		cut, rows, cols = []slice{{down, 0, 1, hidden}}, hidden, inter
	}
	if bias {
		cols = 1
	}
	return cut, rows, cols
}

// stackedFloats cuts plain floats apart. The transposed form is taken for GPT-OSS, and where only it fits the shape.
func (h *hub) stackedFloats(layer int, cut []slice, rows, cols int, t *safetensors.Tensor) ([]Stored, error) {
	typ, err := plainType(t.DType)
	if err != nil {
		return nil, err
	}
	bias := cols == 1 && len(t.Shape) == 2
	straight, turned := []int{h.moe.Experts, rows, cols}, []int{h.moe.Experts, cols, rows}
	if bias {
		straight, turned = straight[:2], nil
	}
	transposed := slices.Equal(t.Shape, turned) && (h.interleave || !slices.Equal(turned, straight))
	if !transposed && !slices.Equal(t.Shape, straight) {
		return nil, fmt.Errorf("has shape %v, the configuration asks for %v or transposed experts", t.Shape, straight)
	}
	size := t.DType.Bytes()
	var out []Stored
	for e := range h.moe.Experts {
		for _, s := range cut {
			shape := []int{s.n, cols}
			if bias {
				shape = shape[:1]
			}
			load := func() ([]byte, error) {
				n := int64(rows * cols * size)
				b, err := t.Range(int64(e)*n, n)
				if err != nil {
					return nil, err
				}
				if transposed {
					return s.columns(b, rows, cols, size), nil
				}
				return s.rows(b, cols*size), nil
			}
			out = append(out, Stored{Name: rdrr.ExpertTensor(layer, e, s.part), From: t.Name, Shape: shape, Type: typ, Load: load})
		}
	}
	return out, nil
}

// rows picks the slice's rows of rowBytes each.
func (s slice) rows(b []byte, rowBytes int) []byte {
	if s.step == 1 {
		return b[s.first*rowBytes : (s.first+s.n)*rowBytes]
	}
	out := make([]byte, s.n*rowBytes)
	for r := range s.n {
		at := (s.first + r*s.step) * rowBytes
		copy(out[r*rowBytes:], b[at:at+rowBytes])
	}
	return out
}

// columns picks the slice's rows of a matrix that is stored transposed: b is [cols, rows] in elements of size bytes.
func (s slice) columns(b []byte, rows, cols, size int) []byte {
	out := make([]byte, s.n*cols*size)
	for c := range cols {
		for r := range s.n {
			at := (c*rows + s.first + r*s.step) * size
			copy(out[(r*cols+c)*size:][:size], b[at:])
		}
	}
	return out
}

// stackedMXFP4 cuts blocks apart and repacks them; the weights stay as they are.
func (h *hub) stackedMXFP4(layer int, cut []slice, rows, cols int, t *safetensors.Tensor) ([]Stored, error) {
	scale := h.checkpoint.Tensor(strings.TrimSuffix(t.Name, "_blocks") + "_scales")
	if scale == nil {
		return nil, errors.New("has no scales")
	}
	if cols%quant.MXFP4.BlockSize() != 0 {
		return nil, fmt.Errorf("rows of %d weights are no whole MXFP4 blocks", cols)
	}
	blocks := cols / quant.MXFP4.BlockSize()
	want := []int{h.moe.Experts, rows, blocks, 16}
	switch {
	case t.DType != safetensors.U8 || !slices.Equal(t.Shape, want):
		return nil, fmt.Errorf("is %s %v, the configuration asks for U8 %v", t.DType, t.Shape, want)
	case scale.DType != safetensors.U8 && scale.DType != safetensors.F8E8M0 || !slices.Equal(scale.Shape, want[:3]):
		return nil, fmt.Errorf("%s is %s %v, the configuration asks for U8 %v", scale.Name, scale.DType, scale.Shape, want[:3])
	}
	var out []Stored
	for e := range h.moe.Experts {
		for _, s := range cut {
			load := func() ([]byte, error) {
				n := int64(rows * blocks)
				nibbles, err := t.Range(int64(e)*n*16, n*16)
				if err != nil {
					return nil, err
				}
				scales, err := scale.Range(int64(e)*n, n)
				if err != nil {
					return nil, err
				}
				packed := make([]byte, s.n*quant.MXFP4.RowBytes(cols))
				return packed, quant.MXFP4FromHub(packed, s.rows(nibbles, blocks*16), s.rows(scales, blocks))
			}
			out = append(out, Stored{Name: rdrr.ExpertTensor(layer, e, s.part), From: t.Name, Shape: []int{s.n, cols}, Type: quant.MXFP4, Load: load})
		}
	}
	return out, nil
}
