package convert

import (
	"encoding/binary"
	"fmt"
	"math"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// maxMerged bounds the experts of one layer, far above any published model.
const maxMerged = 1 << 14

// cutExperts cuts the merged tensor of a layer's experts apart by its bytes: rows are stored whole, so no block is touched.
func cutExperts(t ggufTensor, layer int, parts []rdrr.ExpertPart) ([]Stored, error) {
	if len(t.Shape) < 2 || t.Shape[1]%len(parts) != 0 {
		return nil, fmt.Errorf("has shape %v, want [experts, rows, columns], or [experts, rows] for biases", t.Shape)
	}
	experts := t.Shape[0]
	if experts > maxMerged {
		return nil, fmt.Errorf("has %d experts, at most %d are read", experts, maxMerged)
	}
	shape := append([]int{t.Shape[1] / len(parts)}, t.Shape[2:]...)
	n := t.Size / int64(experts*len(parts))
	var out []Stored
	for e := range experts {
		for i, part := range parts {
			at := (int64(e*len(parts) + i)) * n
			out = append(out, Stored{
				Name: rdrr.ExpertTensor(layer, e, part), From: t.Name, Shape: shape, Type: t.Type,
				Load: func() ([]byte, error) { return t.read(at, n) },
			})
		}
	}
	return out, nil
}

// Files of the architecture "llama" hold the rows of queries and keys in the order that a rotation of neighbouring elements
// wants: element i of a head's first half, then element i of its second half. Canonical rows have the halves one after the
// other. Only whole rows move, so that this is exact in every format.

func unpermute(t ggufTensor, heads int) ([]byte, error) { return reorder(t, heads, false) }

func reorder(t ggufTensor, heads int, halvesFirst bool) ([]byte, error) {
	b, err := t.bytes()
	if err != nil {
		return nil, err
	}
	return reorderRows(b, t.Shape[0], heads, halvesFirst)
}

// reorderRows moves rows of b: from pairs to halves within each head, or back if toPairs.
func reorderRows(b []byte, rows, heads int, toPairs bool) ([]byte, error) {
	if heads < 1 || rows%(2*heads) != 0 {
		return nil, fmt.Errorf("%d rows are no whole number of pairs for %d heads", rows, heads)
	}
	size, head := len(b)/rows, rows/heads
	out := make([]byte, len(b))
	for r := range rows {
		h, i := r/head, r%head
		paired := h*head + 2*(i%(head/2)) + i/(head/2) // where halved row r is among pairs
		from, to := paired, r
		if toPairs {
			from, to = r, paired
		}
		copy(out[to*size:(to+1)*size], b[from*size:])
	}
	return out, nil
}

// minusOne reads the weights of a norm that is stored as w + 1.
func minusOne(t ggufTensor) ([]byte, error) {
	w, err := t.floats()
	if err != nil {
		return nil, err
	}
	return shifted(w, -1), nil
}

// shifted encodes values plus delta as F32.
func shifted(w []float32, delta float32) []byte {
	out := make([]byte, 0, 4*len(w))
	for _, v := range w {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v+delta))
	}
	return out
}

// joinLatent puts kv_b_proj [heads, nope + value, rank] together from attn_k_b, whose heads are transposed [heads, rank, nope],
// and attn_v_b [heads, value, rank]. The two may have different formats and one is transposed, so that the result is F32.
func (g *ggufModel) joinLatent(k ggufTensor, layer int) ([]Stored, error) {
	v, err := g.tensor(fmt.Sprintf("blk.%d.attn_v_b.weight", layer))
	if err != nil {
		return nil, err
	}
	heads := g.allHeads
	if len(k.Shape) != 3 || len(v.Shape) != 3 || k.Shape[0] != heads || v.Shape[0] != heads || k.Shape[1] != v.Shape[2] {
		return nil, fmt.Errorf("has shape %v and %s %v, want [%d, rank, key] and [%d, value, rank]", k.Shape, v.Name, v.Shape, heads, heads)
	}
	rank, nope, value := k.Shape[1], k.Shape[2], v.Shape[1]
	load := func() ([]byte, error) {
		keys, err := k.floats()
		if err != nil {
			return nil, err
		}
		values, err := v.floats()
		if err != nil {
			return nil, err
		}
		joined := make([]float32, 0, len(keys)+len(values))
		for h := range heads {
			head := keys[h*rank*nope : (h+1)*rank*nope]
			for i := range nope {
				for r := range rank {
					joined = append(joined, head[r*nope+i])
				}
			}
			joined = append(joined, values[h*value*rank:(h+1)*value*rank]...)
		}
		out := make([]byte, quant.F32.RowBytes(len(joined)))
		return out, quant.EncodeRows(quant.F32, out, joined, rank)
	}
	name := fmt.Sprintf("model.layers.%d.self_attn.kv_b_proj.weight", layer)
	return []Stored{{Name: name, From: k.Name, Shape: []int{heads * (nope + value), rank}, Type: quant.F32, Load: load}}, nil
}
