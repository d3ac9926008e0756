package gpu

// CheckMatMulInto checks the arguments of [Pass.MatMulInto].
func CheckMatMulInto(dst, x Buffer, w Matrix, bias Buffer, n int, s Into) error {
	c := check{op: "matmul_into"}
	c.matrix(w, 1)
	stride := or(s.Stride, c.rows)
	c.atLeast("offset", s.Offset, 0)
	c.atLeast("stride", stride, c.rows)
	c.reach("dst", dst, F32, s.Offset, n, stride, 1, 0, c.rows)
	c.need("x", x, F32, n, c.cols)
	c.optional("bias", bias, F32, c.rows)
	c.apart(dst, x, bias)
	return c.err
}

// CheckMatMulGated checks the arguments of [Pass.MatMulGated].
func CheckMatMulGated(dst, x Buffer, w Matrix, bias Buffer, n int, a Activation) error {
	c := check{op: "matmul_gated"}
	c.gated(w, a)
	c.need("dst", dst, F32, n, c.rows/2)
	c.need("x", x, F32, n, c.cols)
	c.optional("bias", bias, F32, c.rows)
	c.apart(dst, x, bias)
	return c.err
}

// CheckMatMulExpertsGated checks the arguments of [Pass.MatMulExpertsGated].
func CheckMatMulExpertsGated(dst, x Buffer, w Matrix, bias, ids Buffer, n, k int, a Activation) error {
	c := check{op: "matmul_experts_gated"}
	c.gated(w, a)
	c.atLeast("k", k, 1)
	c.need("dst", dst, F32, n, k, c.rows/2)
	c.need("x", x, F32, n, c.cols)
	c.optional("bias", bias, F32, c.count, c.rows)
	c.need("ids", ids, U32, n, k)
	c.apart(dst, x, bias)
	return c.err
}

func (c *check) gated(w Matrix, a Activation) {
	c.matrix(w, 1)
	if c.rows%2 != 0 {
		c.fail("%d rows are not pairs", c.rows)
	}
	if a > SwiGLUOAI {
		c.fail("unknown activation %d", a)
	}
}

// CheckMatMulExpertsAdd checks the arguments of [Pass.MatMulExpertsAdd].
func CheckMatMulExpertsAdd(x, y Buffer, w Matrix, bias, ids, weights, scratch Buffer, n, k int) error {
	c := check{op: "matmul_experts_add"}
	c.matrix(w, 1)
	c.atLeast("k", k, 1)
	c.need("x", x, F32, n, c.rows)
	c.need("y", y, F32, n, k, c.cols)
	c.optional("bias", bias, F32, c.count, c.rows)
	c.need("ids", ids, U32, n, k)
	c.need("weights", weights, F32, n, k)
	c.need("scratch", scratch, F32, n, k, c.rows)
	c.apart(x, y, bias, weights, scratch)
	c.apart(scratch, y, bias, weights)
	return c.err
}

// CheckHeads checks the arguments of [Pass.Heads].
func CheckHeads(q, keys, values, x, qNorm, kNorm, angles Buffer, s Heads) error {
	c := check{op: "heads"}
	c.atLeast("start", s.Start, 0)
	c.atLeast("heads", s.Heads, 1)
	c.atLeast("KV heads", s.KVHeads, 1)
	c.atLeast("head dimension", s.HeadDim, 1)
	if s.Rotary < 0 || s.Rotary%2 != 0 || s.Rotary > s.HeadDim {
		c.fail("rotary %d: want an even number within the head dimension %d", s.Rotary, s.HeadDim)
	}
	if (qNorm == nil) != (kNorm == nil) {
		c.fail("one norm of two")
	}
	c.need("x", x, F32, s.Rows, c.plus(s.Heads, c.size(2, s.KVHeads)), s.HeadDim)
	c.need("q", q, F32, s.Rows, s.Heads, s.HeadDim)
	positions := c.plus(s.Start, s.Rows)
	c.need("keys", keys, F32, positions, s.KVHeads, s.HeadDim)
	c.need("values", values, F32, positions, s.KVHeads, s.HeadDim)
	c.optional("query norm", qNorm, F32, s.HeadDim)
	c.optional("key norm", kNorm, F32, s.HeadDim)
	if s.Rotary > 0 {
		c.need("angles", angles, F32, s.Rows, s.Rotary)
	}
	c.apart(q, x, qNorm, kNorm, angles, keys, values)
	c.apart(keys, x, qNorm, kNorm, angles, values)
	c.apart(values, x, qNorm, kNorm, angles)
	return c.err
}
