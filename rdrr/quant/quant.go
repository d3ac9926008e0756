// Package quant encodes and decodes the number formats that model weights are stored in.
//
// A tensor is a stack of rows; every row is stored on its own as a whole number of blocks, so that a row can be read,
// multiplied or sent without its neighbours. A row whose length is not a multiple of the block size is padded with zeros
// to the next whole block. Layouts are those of ggml (ggml-common.h), except FP8, which has no ggml format: see [F8E4M3].
//
// The byte layout of each format stands where its code is: float.go (F32, F16, BF16), q32.go (Q8_0, Q4_0), q4k.go (Q4_K, Q5_K),
// q6k.go (Q6_K), mxfp4.go (MXFP4), f8.go (F8_E4M3). All numbers are little-endian. [Decode] is exact: each weight is the value
// that its layout's formula gives, in float32, with the roundings that the brackets there imply. [Encode] looks for the
// scales with the least squared error (search.go), and writes the same bytes on every machine.
//
// The package knows bytes and floats only: no names, no files, no devices.
package quant

import "fmt"

// Type is a storage format for weights. The values are internal; files carry the name that [Type.String] returns.
type Type uint8

// The formats. Bits per weight in brackets.
const (
	Invalid Type = iota
	F32          // IEEE 754 single precision (32)
	F16          // IEEE 754 half precision (16)
	BF16         // upper half of a float32 (16)
	Q8_0         // 32 weights: f16 scale, 32 int8 (8.5)
	Q4_0         // 32 weights: f16 scale, 32 nibbles offset by 8 (4.5)
	Q4_K         // 256 weights: f16 scale and min, 8 sub-blocks with 6-bit scales and mins, nibbles (4.5)
	Q5_K         // as Q4_K with a fifth bit plane (5.5)
	Q6_K         // 256 weights: f16 scale, 16 sub-blocks with int8 scales, 6-bit signed weights (6.5625)
	MXFP4        // 32 weights: e8m0 scale, 32 e2m1 nibbles (4.25)
	// F8E4M3 stores 128 weights of a row as a little-endian f32 scale and 128 e4m3fn bytes (8.25): value = scale * e4m3.
	// It holds an FP8 checkpoint with 128x128 block scales exactly, with the scale of a block repeated in each of its rows.
	F8E4M3
	numTypes
)

type layout struct {
	name       string
	block      int // weights per block
	blockBytes int
}

var layouts = [numTypes]layout{
	F32:    {"F32", 1, 4},
	F16:    {"F16", 1, 2},
	BF16:   {"BF16", 1, 2},
	Q8_0:   {"Q8_0", 32, 34},
	Q4_0:   {"Q4_0", 32, 18},
	Q4_K:   {"Q4_K", 256, 144},
	Q5_K:   {"Q5_K", 256, 176},
	Q6_K:   {"Q6_K", 256, 210},
	MXFP4:  {"MXFP4", 32, 17},
	F8E4M3: {"F8_E4M3", 128, 132},
}

// Types lists every format, in the order of their declaration.
func Types() []Type { return []Type{F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K, Q6_K, MXFP4, F8E4M3} }

// Parse returns the format of that name, as [Type.String] writes it.
func Parse(name string) (Type, error) {
	for _, t := range Types() {
		if layouts[t].name == name {
			return t, nil
		}
	}
	return Invalid, fmt.Errorf("unknown number format %q", name)
}

// Valid reports whether t is one of the formats above.
func (t Type) Valid() bool { return t > Invalid && t < numTypes }

func (t Type) String() string {
	if !t.Valid() {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return layouts[t].name
}

// BlockSize returns the number of weights in a block, 1 for the plain float formats.
func (t Type) BlockSize() int { return layouts[t].block }

// BlockBytes returns the stored size of a block in bytes.
func (t Type) BlockBytes() int { return layouts[t].blockBytes }

// RowBytes returns the stored size in bytes of one row of cols weights, its padding included.
func (t Type) RowBytes(cols int) int {
	l := layouts[t]
	return (cols + l.block - 1) / l.block * l.blockBytes
}
