package shaders

import (
	"fmt"
	"strings"
)

// Access is how a kernel reads activations: one element at a time, or four where widths, strides and offsets allow it.
type Access uint8

// Ways to read activations.
const (
	NoAccess Access = iota // the kernel has but one way
	Scalar
	Vec4
)

func (a Access) String() string { return [...]string{"", "scalar", "vec4"}[a] }

// Variant names one shader: an operation and what is substituted into its file. It is comparable, and so serves as a key.
// A constant of 0 keeps the file's own value.
type Variant struct {
	Op      string // its file is OP.wgsl
	Format  string // number format of the weights, as rdrr/quant names it; "" without weights
	Access  Access
	Lanes   int // LANES: threads that share a weight row. The only constant that the bits of a product depend on
	Rows    int // ROWS: weight rows of a thread
	XRows   int // XROWS: activation rows of a thread
	Spans   int // SPANS: value elements of a thread, in attention
	Split   int // SPLIT: 1 if a workgroup of attention computes one chunk alone
	Quads   int // QUADS: 32 rows of activations in a block tile for each
	Threads int // THREADS
}

func (v Variant) String() string {
	parts := []string{v.Op}
	for _, s := range []string{v.Format, v.Access.String()} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	for _, c := range []struct {
		name  string
		value int
	}{{"lanes", v.Lanes}, {"rows", v.Rows}, {"xrows", v.XRows}, {"spans", v.Spans}, {"split", v.Split}, {"quads", v.Quads}, {"threads", v.Threads}} {
		if c.value != 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", c.name, c.value))
		}
	}
	return strings.Join(parts, " ")
}

func (v Variant) constants() map[string]int {
	m := map[string]int{}
	for name, value := range map[string]int{
		"LANES": v.Lanes, "ROWS": v.Rows, "XROWS": v.XRows, "SPANS": v.Spans, "SPLIT": v.Split, "QUADS": v.Quads, "THREADS": v.Threads,
	} {
		if value != 0 {
			m[name] = value
		}
	}
	return m
}

// Formats are the number formats that weights can be multiplied in.
var Formats = []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "MXFP4", "F8_E4M3"}

// Tile is the share of a product that a thread computes: see tile.wgsl.
type Tile struct {
	Access             Access
	Lanes, Rows, XRows int
}

// Tiles of the matrix products. Long rows of weights are shared by 64 threads, short ones by 16, so that few are idle; rows of
// activations that cannot be read four elements at a time are rare, and one tile serves them.
var (
	scalarTile = Tile{Scalar, 16, 2, 1}
	vectorTile = []Tile{{Vec4, 16, 2, 1}, {Vec4, 64, 2, 1}} // few activation rows
	batchTile  = []Tile{{Vec4, 16, 4, 4}, {Vec4, 64, 4, 4}} // some
)

// ManyRows is from how many rows of activations on a product is computed in blocks.
const ManyRows = 12

// RowBlock is how many weight rows a block has, and XBlock how many rows of activations for each of Quads.
const (
	RowBlock = 64
	XBlock   = 32
)

// Block returns the variant of a matrix product in blocks, the bits of whose results are those of t.
func Block(op, format string, t Tile, quads int) Variant {
	return Variant{Op: op, Format: format, Access: t.Access, Lanes: t.Lanes, Quads: quads}
}

// ExpertsAdd returns the variant of experts_add whose bits are those of products with t: four groups of threads take slots.
func ExpertsAdd(format string, t Tile) Variant {
	return Variant{Op: "experts_add", Format: format, Access: t.Access, Lanes: t.Lanes, Rows: 2, Threads: 4 * t.Lanes}
}

// Places of constants that the host needs: MaxSlots is SLOTS of experts_add.wgsl, MaxGroups is LIMIT of group_slots.wgsl less
// one, MaxHead is LIMIT of heads.wgsl, AttentionChunk is CHUNK of attention.wgsl.
const (
	MaxSlots       = 16
	MaxGroups      = 1024
	MaxHead        = 1024
	AttentionChunk = 128
)

// attentionColumns is COLUMNS of attention.wgsl.
const attentionColumns = 32

// spans are the values of SPANS that attention has.
var spans = map[Access][]int{Vec4: {1, 2, 4, 8}, Scalar: {4, 32}}

// Attention chooses the variant for values of that many elements a head. It is an error if none holds them.
func Attention(access Access, valueDim int) (Variant, error) {
	width := 1
	if access == Vec4 {
		width = 4
	}
	for _, n := range spans[access] {
		if valueDim <= n*attentionColumns*width {
			return Variant{Op: "attention", Access: access, Spans: n}, nil
		}
	}
	return Variant{}, fmt.Errorf("attention: no shader for values of %d elements", valueDim)
}

// ProductTile chooses the tile for n rows of activations and weight rows of that many units. Whether n is large does not change
// LANES, and so not the bits of a row's result.
func ProductTile(access Access, units, n int) Tile {
	if access == Scalar {
		return scalarTile
	}
	long := 0
	if units >= 48 {
		long = 1
	}
	if n >= 3 {
		return batchTile[long]
	}
	return vectorTile[long]
}

// Product returns the variant of a matrix product.
func Product(op, format string, t Tile) Variant {
	return Variant{Op: op, Format: format, Access: t.Access, Lanes: t.Lanes, Rows: t.Rows, XRows: t.XRows}
}

// Variants lists every shader that there is.
func Variants() []Variant {
	var all []Variant
	for _, format := range Formats {
		all = append(all, Variant{Op: "embed", Format: format}, Product("matmul", format, scalarTile))
		for i := range vectorTile {
			all = append(all, Product("matmul", format, vectorTile[i]), Product("matmul", format, batchTile[i]))
		}
		for _, op := range []string{"matmul_each", "matmul_experts"} {
			for _, t := range append([]Tile{scalarTile}, vectorTile...) {
				all = append(all, Product(op, format, t))
			}
		}
		for _, t := range append([]Tile{scalarTile}, vectorTile...) {
			all = append(all, Block("matmul_block", format, t, 1), Block("matmul_block", format, t, 2),
				Block("experts_block", format, t, 1), ExpertsAdd(format, t))
		}
	}
	for _, access := range []Access{Scalar, Vec4} {
		for _, n := range spans[access] {
			all = append(all, Variant{Op: "attention", Access: access, Spans: n}, Variant{Op: "attention", Access: access, Spans: n, Split: 1})
		}
		all = append(all, Variant{Op: "attention_merge", Access: access}, Variant{Op: "rmsnorm", Access: access})
	}
	for _, op := range []string{"group_slots", "heads", "argmax_parts", "argmax_merge", "layernorm", "rope", "activate", "topk", "combine", "add", "add_sigmoid", "copy", "argmax"} {
		all = append(all, Variant{Op: op})
	}
	return all
}
