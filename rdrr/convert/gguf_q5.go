package convert

import (
	"fmt"
	"math"

	"shoal/rdrr/convert/gguf"
	"shoal/rdrr/quant"
)

// llama.cpp stores matrices whose rows are no whole blocks of 256 as Q5_0 in files that are otherwise Q4_K. A block of Q5_0 has
// 32 weights: f16 d; 4 bytes with the fifth bit of weight i as bit i; 16 bytes of which byte i has the low four bits of weight
// i (low nibble) and i+16. w = d (q - 16), which is a block of Q8_0 with the same d: no weight changes.
const ggmlQ5 gguf.GGMLType = 6

const (
	q5Bytes = 22
	q8Bytes = 34
	q5Block = 32
)

// asQ8 describes a tensor that is stored as Q5_0 as the Q8_0 that it is read as.
func (t ggufTensor) asQ8() (ggufTensor, error) {
	if len(t.Shape) == 0 {
		return t, fmt.Errorf("tensor %s has no dimensions", t.Name)
	}
	blocks, cols := int64(1), t.Shape[len(t.Shape)-1]
	for _, d := range t.Shape {
		if int64(d) > math.MaxInt64/q8Bytes/blocks {
			return t, fmt.Errorf("tensor %s: shape %v is too large", t.Name, t.Shape)
		}
		blocks *= int64(d)
	}
	if cols%q5Block != 0 {
		return t, fmt.Errorf("tensor %s: rows of %d weights are no whole Q5_0 blocks", t.Name, cols)
	}
	blocks /= q5Block
	t.Type, t.Size, t.q5 = quant.Q8_0, blocks*q8Bytes, true
	// That the last byte is there bounds what will be allocated.
	if _, err := t.stored.ReadAt(make([]byte, 1), t.Offset+blocks*q5Bytes-1); err != nil {
		return t, fmt.Errorf("tensor %s: the file is truncated: %w", t.Name, err)
	}
	return t, nil
}

// readQ5 is read for such a tensor: offset and n count bytes of Q8_0, whole blocks.
func (t ggufTensor) readQ5(offset, n int64) ([]byte, error) {
	stored := make([]byte, n/q8Bytes*q5Bytes)
	if _, err := t.stored.ReadAt(stored, t.Offset+offset/q8Bytes*q5Bytes); err != nil {
		return nil, fmt.Errorf("tensor %s: reading %d bytes: %w", t.Name, len(stored), err)
	}
	out := make([]byte, 0, n)
	for ; len(stored) > 0; stored = stored[q5Bytes:] {
		out = append(out, stored[0], stored[1])
		for i := range q5Block {
			q := stored[6+i%16] >> (i / 16 * 4) & 15
			q |= stored[2+i/8] >> (i % 8) & 1 << 4
			out = append(out, q-16)
		}
	}
	return out, nil
}
