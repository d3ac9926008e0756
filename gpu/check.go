package gpu

import "math"

// The Check functions say what is wrong with the arguments of the [Pass] method of the same name, or return nil. Every backend
// calls them as it records, so that all refuse the same things in the same words. They do not know whose buffers they see, nor
// whether a buffer was freed.

// CheckEmbed checks the arguments of [Pass.Embed].
func CheckEmbed(dst Buffer, table Matrix, ids Buffer, n int) error {
	c := check{op: "embed"}
	c.matrix(table, 1)
	c.need("dst", dst, F32, n, c.cols)
	c.need("ids", ids, U32, n)
	c.apart(dst)
	return c.err
}

// CheckRMSNorm checks the arguments of [Pass.RMSNorm].
func CheckRMSNorm(dst, x, weight Buffer, s Norm) error {
	c := check{op: "rmsnorm"}
	c.norm(dst, x, s)
	c.need("weight", weight, F32, s.Width)
	c.apart(dst, x, weight)
	return c.err
}

// CheckLayerNorm checks the arguments of [Pass.LayerNorm].
func CheckLayerNorm(dst, x, weight, bias Buffer, s Norm) error {
	c := check{op: "layernorm"}
	c.norm(dst, x, s)
	c.need("weight", weight, F32, s.Width)
	c.need("bias", bias, F32, s.Width)
	c.apart(dst, x, weight, bias)
	return c.err
}

// CheckMatMul checks the arguments of [Pass.MatMul].
func CheckMatMul(dst, x Buffer, w Matrix, bias Buffer, n int) error {
	c := check{op: "matmul"}
	c.matrix(w, 1)
	c.need("dst", dst, F32, n, c.rows)
	c.need("x", x, F32, n, c.cols)
	c.optional("bias", bias, F32, c.rows)
	c.apart(dst, x, bias)
	return c.err
}

// CheckMatMulEach checks the arguments of [Pass.MatMulEach].
func CheckMatMulEach(dst, x Buffer, w Matrix, s Slices) error {
	c := check{op: "matmul_each"}
	c.matrix(w, 1)
	s = s.Packed(c.count, c.rows, c.cols)
	c.atLeast("offset", s.XOffset, 0)
	c.atLeast("offset", s.DOffset, 0)
	c.atLeast("x stride", s.XStride, 0)
	c.atLeast("x row", s.XRow, 0)
	if s.Rows > 0 && c.err == nil {
		c.reach("x", x, F32, s.XOffset, s.Rows, s.XRow, c.count, s.XStride, c.cols)
		c.reach("dst", dst, F32, s.DOffset, s.Rows, s.DRow, c.count, s.DStride, c.rows)
		slicesApart := s.DStride >= c.rows && s.DRow >= (c.count-1)*s.DStride+c.rows
		rowsApart := s.DRow >= c.rows && s.DStride >= (s.Rows-1)*s.DRow+c.rows
		if !slicesApart && !rowsApart {
			c.fail("dst slices of %d elements overlap: stride %d, row %d", c.rows, s.DStride, s.DRow)
		}
	}
	c.atLeast("rows", s.Rows, 0)
	c.apart(dst, x)
	return c.err
}

// CheckMatMulExperts checks the arguments of [Pass.MatMulExperts].
func CheckMatMulExperts(dst, x Buffer, w Matrix, bias, ids Buffer, n, k int, perSlot bool) error {
	c := check{op: "matmul_experts"}
	c.matrix(w, 1)
	c.atLeast("k", k, 1)
	c.need("dst", dst, F32, n, k, c.rows)
	if perSlot {
		c.need("x", x, F32, n, k, c.cols)
	} else {
		c.need("x", x, F32, n, c.cols)
	}
	c.optional("bias", bias, F32, c.count, c.rows)
	c.need("ids", ids, U32, n, k)
	c.apart(dst, x, bias)
	return c.err
}

// CheckRoPE checks the arguments of [Pass.RoPE].
func CheckRoPE(x, angles Buffer, s Rotation) error {
	c := check{op: "rope"}
	c.atLeast("heads", s.Heads, 1)
	c.atLeast("head dimension", s.HeadDim, 1)
	c.atLeast("offset", s.Offset, 0)
	if s.Rotary < 2 || s.Rotary%2 != 0 || s.Offset+s.Rotary > s.HeadDim {
		c.fail("rotary %d at offset %d: want an even number within the head dimension %d", s.Rotary, s.Offset, s.HeadDim)
	}
	width := c.size(s.Heads, s.HeadDim)
	stride := or(s.RowStride, width)
	c.atLeast("row stride", stride, width)
	c.need("angles", angles, F32, s.Rows, s.Rotary)
	c.reach("x", x, F32, 0, s.Rows, stride, 1, 0, width)
	c.apart(x, angles)
	return c.err
}

// CheckAttention checks the arguments of [Pass.Attention].
func CheckAttention(dst, q, keys, values, sinks Buffer, s Attention) error {
	c := check{op: "attention"}
	c.atLeast("start", s.Start, 0)
	c.atLeast("KV heads", s.KVHeads, 1)
	c.atLeast("key dimension", s.KeyDim, 1)
	c.atLeast("value dimension", s.ValueDim, 1)
	c.atLeast("window", s.Window, 0)
	if c.err == nil && (s.Heads < 1 || s.Heads%s.KVHeads != 0) {
		c.fail("%d heads do not divide among %d KV heads", s.Heads, s.KVHeads)
	}
	if !(s.SoftCap >= 0) || math.IsInf(float64(s.SoftCap), 0) {
		c.fail("soft cap %v", s.SoftCap)
	}
	k, v := c.size(s.KVHeads, s.KeyDim), c.size(s.KVHeads, s.ValueDim)
	c.atLeast("key stride", s.KeyStride, k)
	c.atLeast("value stride", s.ValueStride, v)
	c.need("dst", dst, F32, s.Rows, s.Heads, s.ValueDim)
	c.need("q", q, F32, s.Rows, s.Heads, s.KeyDim)
	if s.Rows > 0 {
		c.reach("keys", keys, F32, 0, c.plus(s.Start, s.Rows), s.KeyStride, 1, 0, k)
		c.reach("values", values, F32, 0, c.plus(s.Start, s.Rows), s.ValueStride, 1, 0, v)
	}
	c.optional("sinks", sinks, F32, s.Heads)
	c.apart(dst, q, keys, values, sinks)
	return c.err
}

// CheckActivate checks the arguments of [Pass.Activate].
func CheckActivate(dst, gate, up Buffer, n int, a Activation) error {
	c := check{op: "activate"}
	if a > SwiGLUOAI {
		c.fail("unknown activation %d", a)
	}
	c.need("dst", dst, F32, n)
	c.need("gate", gate, F32, n)
	c.need("up", up, F32, n)
	c.apart(dst, gate, up)
	return c.err
}

// CheckTopK checks the arguments of [Pass.TopK].
func CheckTopK(ids, weights, scores, bias Buffer, n int, s Gate) error {
	c := check{op: "topk"}
	candidates := s.Experts
	if s.Groups > 1 {
		if s.Kind != SoftmaxTopK && s.Kind != SigmoidTopK {
			c.fail("gate kind %d knows no groups", s.Kind)
		}
		if s.Experts%s.Groups != 0 || s.TopGroups < 1 || s.TopGroups > s.Groups {
			c.fail("best %d of %d groups of %d experts", s.TopGroups, s.Groups, s.Experts)
		}
		candidates = s.Experts / s.Groups * s.TopGroups
	}
	if s.K < 1 || s.K > candidates {
		c.fail("k = %d of %d experts", s.K, candidates)
	}
	if s.Kind > SparseMixer {
		c.fail("unknown gate kind %d", s.Kind)
	}
	if s.Kind == SparseMixer && (s.K != 2 || bias != nil) {
		c.fail("sparse mixer with k = %d, bias %t: want 2 and none", s.K, bias != nil)
	}
	c.need("ids", ids, U32, n, s.K)
	c.need("weights", weights, F32, n, s.K)
	c.need("scores", scores, F32, n, s.Experts)
	c.optional("bias", bias, F32, s.Experts)
	c.apart(weights, scores, bias)
	return c.err
}

// CheckCombine checks the arguments of [Pass.Combine].
func CheckCombine(x, y, weights Buffer, n, k, width int) error {
	c := check{op: "combine"}
	c.need("x", x, F32, n, width)
	c.need("y", y, F32, n, k, width)
	c.need("weights", weights, F32, n, k)
	c.apart(x, y, weights)
	return c.err
}

// CheckAdd checks the arguments of [Pass.Add].
func CheckAdd(x, y Buffer, n int) error {
	c := check{op: "add"}
	c.need("x", x, F32, n)
	c.need("y", y, F32, n)
	c.apart(x, y)
	return c.err
}

// CheckAddSigmoid checks the arguments of [Pass.AddSigmoid].
func CheckAddSigmoid(x, y, gate Buffer, n, width int) error {
	c := check{op: "add_sigmoid"}
	c.need("x", x, F32, n, width)
	c.need("y", y, F32, n, width)
	c.need("gate", gate, F32, n)
	c.apart(x, y, gate)
	return c.err
}

// CheckCopy checks the arguments of [Pass.Copy].
func CheckCopy(dst, src Buffer, s Strided) error {
	c := check{op: "copy"}
	if src == nil {
		c.fail("no src")
		return c.err
	}
	c.atLeast("offset", s.SrcOffset, 0)
	c.atLeast("offset", s.DstOffset, 0)
	c.atLeast("width", s.Width, 0)
	c.atLeast("src stride", s.SrcStride, 0)
	if s.Rows > 1 {
		c.atLeast("dst stride", s.DstStride, s.Width)
	}
	c.reach("src", src, src.Kind(), s.SrcOffset, s.Rows, s.SrcStride, 1, 0, s.Width)
	c.reach("dst", dst, src.Kind(), s.DstOffset, s.Rows, s.DstStride, 1, 0, s.Width)
	c.apart(dst, src)
	return c.err
}

// CheckArgMax checks the arguments of [Pass.ArgMax].
func CheckArgMax(ids, x Buffer, n, width int) error {
	c := check{op: "argmax"}
	c.atLeast("width", width, 1)
	c.need("ids", ids, U32, n)
	c.need("x", x, F32, n, width)
	return c.err
}

// CheckWrite checks a copy of n elements of kind k to b from offset on.
func CheckWrite(b Buffer, k Kind, offset, n int) error {
	c := check{op: "write"}
	c.atLeast("offset", offset, 0)
	c.reach("buffer", b, k, offset, 1, 0, 1, 0, n)
	return c.err
}

// CheckReadback checks what a readback asks for.
func CheckReadback(r Readback) error {
	c := check{op: "read"}
	if (r.Floats == nil) == (r.IDs == nil) {
		c.fail("want exactly one of floats and ids")
	}
	k, n := F32, len(r.Floats)
	if r.IDs != nil {
		k, n = U32, len(r.IDs)
	}
	c.atLeast("offset", r.Offset, 0)
	c.reach("buffer", r.From, k, r.Offset, 1, 0, 1, 0, n)
	return c.err
}
