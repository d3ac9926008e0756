package webgpu

import "shoal/rdrr/quant"

// layout says how the blocks of a format lie in device memory. Nothing is lost and nothing grows but for padding: the bytes of
// a block are only moved, so that shaders can read 16 of them at a time.
//
// A part of a matrix is a main plane [rows, blocks per row] of 16-byte words and, for formats whose block scale breaks the
// alignment, a plane of scales, in which every row starts a new 4-byte word. The shaders' decode_*.wgsl read what is written here.
//
//	F32, F16, BF16   rows padded to 16 bytes
//	Q4_K, Q5_K       as stored: 144 and 176 bytes a block
//	Q8_0, Q4_0       quants | f16 scale
//	Q6_K             16 scales, nibbles, upper bits | f16 scale
//	MXFP4            nibbles | e8m0 scale
//	F8_E4M3          bytes | f32 scale
type layout struct {
	weights int // per block; for float formats per 16 bytes
	unit    int // weights that a thread reads at a time: a unit of the shaders
	main    []piece
	scale   piece // length 0 if there is no plane of scales
}

// piece is part of a stored block.
type piece struct{ from, length int }

var layouts = map[quant.Type]layout{
	quant.F32:    {weights: 4, unit: 4, main: []piece{{0, 16}}},
	quant.F16:    {weights: 8, unit: 8, main: []piece{{0, 16}}},
	quant.BF16:   {weights: 8, unit: 8, main: []piece{{0, 16}}},
	quant.Q8_0:   {weights: 32, unit: 16, main: []piece{{2, 32}}, scale: piece{0, 2}},
	quant.Q4_0:   {weights: 32, unit: 32, main: []piece{{2, 16}}, scale: piece{0, 2}},
	quant.Q4_K:   {weights: 256, unit: 32, main: []piece{{0, 144}}},
	quant.Q5_K:   {weights: 256, unit: 32, main: []piece{{0, 176}}},
	quant.Q6_K:   {weights: 256, unit: 32, main: []piece{{192, 16}, {0, 192}}, scale: piece{208, 2}},
	quant.MXFP4:  {weights: 32, unit: 32, main: []piece{{1, 16}}, scale: piece{0, 1}},
	quant.F8E4M3: {weights: 128, unit: 16, main: []piece{{4, 128}}, scale: piece{0, 4}},
}

// blocks is the number of blocks in a row of cols weights.
func (l layout) blocks(cols int) int { return (cols + l.weights - 1) / l.weights }

// units is the number of units in a row of cols weights.
func (l layout) units(cols int) int { return l.blocks(cols) * (l.weights / l.unit) }

// mainBytes is the size of a row in the main plane, a multiple of 16.
func (l layout) mainBytes(cols int) int {
	size := 0
	for _, p := range l.main {
		size += p.length
	}
	return size * l.blocks(cols)
}

// scaleBytes is the size of a row in the plane of scales, a multiple of 4.
func (l layout) scaleBytes(cols int) int { return (l.blocks(cols)*l.scale.length + 3) / 4 * 4 }

// plain reports whether rows of stored bytes are rows of the main plane as they are.
func (l layout) plain(stored, cols int) bool {
	return l.scale.length == 0 && stored == l.mainBytes(cols)
}

// split moves one row from its stored bytes to its places in the planes, which hold mainBytes and scaleBytes.
func (l layout) split(main, scales, stored []byte, blockBytes int) {
	if l.scale.length == 0 { // blocks as they are; a float row ends with padding
		clear(main[copy(main, stored):])
		return
	}
	for len(stored) >= blockBytes {
		for _, p := range l.main {
			main = main[copy(main, stored[p.from:p.from+p.length]):]
		}
		scales = scales[copy(scales, stored[l.scale.from:l.scale.from+l.scale.length]):]
		stored = stored[blockBytes:]
	}
	clear(scales)
}
