package gpu

import "fmt"

// check collects the first complaint about an operation's arguments. Dimensions come from configurations and files, so
// products of them are taken with care for overflow.
type check struct {
	op                string
	err               error
	count, rows, cols int // of the matrix
}

func (c *check) fail(format string, a ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(c.op+": "+format, a...)
	}
}

func (c *check) atLeast(name string, v, least int) {
	if v < least {
		c.fail("%s %d, want at least %d", name, v, least)
	}
}

// matrix notes w's shape and refuses no matrix.
func (c *check) matrix(w Matrix, least int) {
	if w == nil {
		c.fail("no matrix")
		return
	}
	c.count, c.rows, c.cols = w.Count(), w.Rows(), w.Cols()
	c.atLeast("matrices", c.count, least)
}

// maxElements is beyond any buffer, and the sum or product checks below stay within an int.
const maxElements = 1 << 40

// size multiplies dimensions; a negative one or a product beyond any buffer is a complaint.
func (c *check) size(dims ...int) int {
	n := 1
	for _, d := range dims {
		if d < 0 {
			c.fail("negative size %d", d)
			return 0
		}
		if d > maxElements || n > 0 && d > maxElements/n {
			c.fail("size %v is too large", dims)
			return 0
		}
		n *= d
	}
	return n
}

func (c *check) plus(a, b int) int {
	if a < 0 || b < 0 || a > maxElements || b > maxElements {
		c.fail("position %d + %d", a, b)
		return 0
	}
	return a + b
}

// need checks that b is of kind k and holds a tensor of these dimensions.
func (c *check) need(name string, b Buffer, k Kind, dims ...int) {
	n := c.size(dims...)
	if c.err != nil {
		return
	}
	switch {
	case b == nil:
		c.fail("no %s", name)
	case b.Kind() != k:
		c.fail("%s holds %v, want %v", name, b.Kind(), k)
	case b.Len() < n:
		c.fail("%s has %d elements, want %v = %d", name, b.Len(), dims, n)
	}
}

func (c *check) optional(name string, b Buffer, k Kind, dims ...int) {
	if b != nil {
		c.need(name, b, k, dims...)
	}
}

// reach checks that b holds the last element of rows, stride apart, of count slices, step apart, of width elements.
func (c *check) reach(name string, b Buffer, k Kind, offset, rows, stride, count, step, width int) {
	for _, v := range []int{offset, rows, stride, count, step, width} {
		c.size(v)
	}
	end := 0
	if rows > 0 && count > 0 && width > 0 {
		end = c.plus(c.plus(offset, c.size(rows-1, stride)), c.plus(c.size(count-1, step), width))
	}
	c.need(name, b, k, end)
}

func (c *check) norm(dst, x Buffer, s Norm) {
	c.atLeast("width", s.Width, 1)
	ss, ds := or(s.SrcStride, s.Width), or(s.DstStride, s.Width)
	c.atLeast("src stride", ss, s.Width)
	c.atLeast("dst stride", ds, s.Width)
	c.reach("x", x, F32, s.SrcOffset, s.Rows, ss, 1, 0, s.Width)
	c.reach("dst", dst, F32, s.DstOffset, s.Rows, ds, 1, 0, s.Width)
}

// apart refuses an output that is also an input: WebGPU cannot bind a buffer for both.
func (c *check) apart(out Buffer, in ...Buffer) {
	for _, b := range in {
		if b != nil && b == out {
			c.fail("the output buffer is also an input")
		}
	}
}

func or(stride, dense int) int {
	if stride == 0 {
		return dense
	}
	return stride
}
