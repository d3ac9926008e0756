package gguf

import (
	"fmt"

	"shoal/rdrr/quant"
)

// GGMLType is ggml's number for a tensor format.
type GGMLType uint32

var ggmlNames = map[GGMLType]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
	13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
	22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0",
	35: "TQ2_0", 39: "MXFP4",
}

var ours = map[GGMLType]quant.Type{
	0: quant.F32, 1: quant.F16, 30: quant.BF16, 8: quant.Q8_0, 2: quant.Q4_0, 12: quant.Q4_K, 13: quant.Q5_K, 14: quant.Q6_K,
	39: quant.MXFP4,
}

func (t GGMLType) String() string {
	if name, ok := ggmlNames[t]; ok {
		return name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

// Quant returns the format that package quant has for t, or quant.Invalid.
func (t GGMLType) Quant() quant.Type { return ours[t] }

// TypeOf returns ggml's number for t. quant.F8E4M3 has none.
func TypeOf(t quant.Type) (GGMLType, bool) {
	for g, q := range ours {
		if q == t {
			return g, true
		}
	}
	return 0, false
}

// storedSize returns the bytes that a tensor takes. ggml pads no rows: their length must be a whole number of blocks.
func storedSize(t quant.Type, shape []int) (int64, error) {
	n, err := t.Size(shape)
	if err != nil {
		return 0, err
	}
	cols := 1
	if len(shape) > 0 {
		cols = shape[len(shape)-1]
	}
	if cols%t.BlockSize() != 0 {
		return 0, fmt.Errorf("rows of %d weights are no whole number of %v blocks of %d", cols, t, t.BlockSize())
	}
	return int64(n), nil
}
