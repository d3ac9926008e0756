package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"shoal/rdrr/convert/safetensors"
	"shoal/rdrr/quant"
)

// fp8Block is the height and width of the blocks of weights that share a scale in FP8 checkpoints (DeepSeek V3, Kimi K2).
const fp8Block = 128

const fp8Scale = "_scale_inv"

// scaleOf tells whether name is that of a scale, and of which weights.
func (h *hub) scaleOf(name string) (weights *safetensors.Tensor, isScale bool) {
	base, ok := strings.CutSuffix(name, fp8Scale)
	if !ok {
		return nil, false
	}
	return h.checkpoint.Tensor(base), true
}

// fp8 pairs FP8 weights [rows, cols] with their scales [ceil(rows/128), ceil(cols/128)].
func (h *hub) fp8(name string, t *safetensors.Tensor) ([]Stored, error) {
	scale := h.checkpoint.Tensor(t.Name + fp8Scale)
	if scale == nil {
		return nil, fmt.Errorf("is F8_E4M3 but has no %s%s", t.Name, fp8Scale)
	}
	if len(t.Shape) != 2 || len(scale.Shape) != 2 {
		return nil, errors.New("FP8 weights and their scales must be matrices")
	}
	rows, cols := t.Shape[0], t.Shape[1]
	want := []int{(rows + fp8Block - 1) / fp8Block, (cols + fp8Block - 1) / fp8Block}
	if !slices.Equal(scale.Shape, want) {
		return nil, fmt.Errorf("%s has shape %v, want %v for weights %v", scale.Name, scale.Shape, want, t.Shape)
	}
	load := func() ([]byte, error) {
		weights, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		scales, err := scale.Floats()
		if err != nil {
			return nil, err
		}
		out := make([]byte, rows*quant.F8E4M3.RowBytes(cols))
		return out, quant.F8Rows(out, weights, rows, cols, scales, fp8Block, fp8Block)
	}
	return []Stored{{Name: name, From: t.Name, Shape: t.Shape, Type: quant.F8E4M3, Load: load}}, nil
}
