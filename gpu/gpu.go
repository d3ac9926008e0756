// Package gpu names the operations that a model is computed with, and the devices that carry them out.
//
// A [Device] owns memory: [Buffer]s of activations and [Matrix] weights that stay in their quantised blocks. A [Pass] records
// operations, one method per kernel, and is submitted once. gpu/cpu and gpu/webgpu implement both; gpu/gputest holds the
// suite that any implementation must pass, which compares every operation with its plain twin in shaders/ref.
//
// The package knows no model, no file and no network: a layer's meaning is made in model and experts/host.
package gpu

import "shoal/rdrr/quant"

// Kind is the element type of a [Buffer].
type Kind uint8

// Element types, 4 bytes each.
const (
	F32 Kind = iota
	U32
)

func (k Kind) String() string {
	if k == U32 {
		return "ids"
	}
	return "floats"
}

// Buffer is device memory for activations, caches and ids. It belongs to the device that made it.
type Buffer interface {
	Kind() Kind
	Len() int // elements
	Free()
}

// Matrix is a stack of Count weight matrices of one shape and format, [Count, Rows, Cols], in its stored blocks.
// Row r of matrix i holds the weights of output r: y[r] = sum over c of W[i, r, c] * x[c].
type Matrix interface {
	Type() quant.Type
	Count() int
	Rows() int
	Cols() int
	// Bytes is the device memory that the matrix takes.
	Bytes() int64
	// Load replaces matrix i with data: Rows rows of Type().RowBytes(Cols) bytes. The data may be reused after the call.
	// Matrices may be loaded while passes run that use others of the stack, not while one runs that uses i.
	Load(i int, data []byte) error
	Free()
}

// Aliaser is a Matrix that can use the caller's memory in place of a copy, which a memory-mapped model file then need not be
// read for. Callers try it by type assertion and fall back to Load.
type Aliaser interface {
	// Alias makes data matrix i, as Load would, but keeps a reference. data must neither change nor be unmapped until another
	// Load or Alias of i, or Free.
	Alias(i int, data []byte) error
}

// Info describes a device.
type Info struct {
	Backend              string // "cpu" or "webgpu"
	Name                 string // as the adapter names itself
	Driver               string // "" where unknown
	Memory               int64  // bytes that weights may take, 0 where unknown
	Threads              int    // CPU backend: worker threads
	Integrated, Software bool
	// Stacks: few large operations are faster than many small ones, so that callers stack the weights of projections that read
	// the same input, and use MatMulGated, MatMulExpertsGated and Heads.
	Stacks bool
}

// Device makes memory and passes. Its methods may be called from several goroutines; a Pass belongs to one.
type Device interface {
	Info() Info
	// NewBuffer returns n > 0 elements of kind k, zeroed. An allocation that fails is an error that states the size.
	NewBuffer(label string, k Kind, n int) (Buffer, error)
	// NewMatrix returns space for count matrices; contents are zero until [Matrix.Load].
	NewMatrix(label string, t quant.Type, count, rows, cols int) (Matrix, error)
	// WriteFloats and WriteIDs copy into a buffer, before any pass that is submitted later and after any submitted earlier.
	WriteFloats(b Buffer, offset int, data []float32) error
	WriteIDs(b Buffer, offset int, data []uint32) error
	// Begin starts recording a pass.
	Begin() Pass
	// Allocated is the device memory in use, in bytes.
	Allocated() int64
	Close()
}

// Readback asks for a copy of part of a buffer after a pass. Exactly one of Floats and IDs is set, and its length is how
// much is read.
type Readback struct {
	From   Buffer
	Offset int // elements
	Floats []float32
	IDs    []uint32
}

// Pass records operations that run in order. Shapes are checked as they are recorded (see [CheckMatMul] and the like); the
// first error sticks, nothing of the pass runs, and Submit returns it. Row counts are n, hidden-size vectors are rows, and
// everything is row-major. A nil bias is no bias. n may be 0. An operation's output is none of its other buffers.
//
// A row's result does not depend on the other rows of the call: the same row gives the same bits alone and in a batch.
type Pass interface {
	// Embed writes dst[i, :] = scale * table[0, ids[i], :] for i < n. dst [n, table.Cols].
	// An id >= table.Rows() yields zeros.
	Embed(dst Buffer, table Matrix, ids Buffer, n int, scale float32)

	// RMSNorm writes dst = x / sqrt(mean(x^2) + eps) * weight, per row (Zhang and Sennrich 2019). weight [s.Width].
	RMSNorm(dst, x, weight Buffer, s Norm)
	// LayerNorm writes dst = (x - mean) / sqrt(var + eps) * weight + bias, per row (Ba et al. 2016). weight, bias [s.Width].
	LayerNorm(dst, x, weight, bias Buffer, s Norm)

	// MatMul writes dst[i, :] = w[0] * x[i, :] + bias for i < n. x [n, w.Cols], bias [w.Rows], dst [n, w.Rows].
	MatMul(dst, x Buffer, w Matrix, bias Buffer, n int)
	// MatMulInto is MatMul with dst[s.Offset + i*s.Stride + r] = w[0, r] * x[i, :] + bias[r], or += with s.Add.
	MatMulInto(dst, x Buffer, w Matrix, bias Buffer, n int, s Into)
	// MatMulGated writes dst[i, r] = act(g) * u, where g and u are rows 2r and 2r+1 of w[0] * x[i, :] + bias. See [Activation].
	// x [n, w.Cols], bias [w.Rows], dst [n, w.Rows/2].
	MatMulGated(dst, x Buffer, w Matrix, bias Buffer, n int, a Activation)
	// MatMulEach multiplies slice j of every row with matrix j: dst[i, j, :] = w[j] * x[i, j, :]. See [Slices].
	MatMulEach(dst, x Buffer, w Matrix, s Slices)
	// MatMulExperts multiplies row i with the k matrices that ids[i, :] names: dst[i, j, :] = w[ids[i, j]] * x_ij + bias[ids[i, j], :].
	// x_ij is x[i, :] if perSlot is false (x [n, w.Cols]) and x[i, j, :] if it is true (x [n, k, w.Cols]).
	// ids [n, k], bias [w.Count, w.Rows], dst [n, k, w.Rows]. An id >= w.Count() yields zeros.
	MatMulExperts(dst, x Buffer, w Matrix, bias, ids Buffer, n, k int, perSlot bool)

	// MatMulExpertsGated is to MatMulExperts, without perSlot, what MatMulGated is to MatMul: dst [n, k, w.Rows/2].
	MatMulExpertsGated(dst, x Buffer, w Matrix, bias, ids Buffer, n, k int, a Activation)
	// MatMulExpertsAdd is MatMulExperts of y with perSlot and then Combine, in bits too: x[i, :] += sum over j, in order, of
	// weights[i, j] * (w[ids[i, j]] * y[i, j, :] + bias[ids[i, j], :]). y [n, k, w.Cols], weights [n, k], x [n, w.Rows].
	// What scratch [n, k, w.Rows] holds afterwards is undefined.
	MatMulExpertsAdd(x, y Buffer, w Matrix, bias, ids, weights, scratch Buffer, n, k int)

	// Heads takes the rows of a joint projection apart: queries to q and keys to the cache, both normed (if there are norms)
	// and rotated, values to the cache. See [Heads] for shapes.
	Heads(q, keys, values, x, qNorm, kNorm, angles Buffer, s Heads)

	// RoPE rotates pairs of x in place by the angles given per row. angles [s.Rows, s.Rotary/2, 2] holds cos, sin.
	RoPE(x, angles Buffer, s Rotation)

	// Attention writes softmax(q k^T * scale + mask) v per head, over cached positions. See [Attention] for shapes.
	Attention(dst, q, keys, values, sinks Buffer, s Attention)

	// Activate writes dst[i] = act(gate[i]) * up[i] for i < n; see [Activation] for the variants.
	Activate(dst, gate, up Buffer, n int, a Activation)

	// TopK chooses s.K experts for each of n rows of scores [n, s.Experts] and writes their numbers and gate weights, best
	// first: ids [n, s.K], weights [n, s.K]. bias [s.Experts] or nil is added for selection only.
	TopK(ids, weights, scores, bias Buffer, n int, s Gate)

	// Combine adds, in slot order, x[i, :] += weights[i, j] * y[i, j, :] for j < k. y [n, k, width], weights [n, k].
	Combine(x, y, weights Buffer, n, k, width int)

	// Add writes x[i] += y[i] for i < n.
	Add(x, y Buffer, n int)
	// AddSigmoid writes x[i, :] += sigmoid(gate[i]) * y[i, :], the gated shared expert of Qwen2-MoE. gate [n], y [n, width].
	AddSigmoid(x, y, gate Buffer, n, width int)

	// Copy copies rows of width elements between strided places: dst[dstOffset + i*dstStride + c] = src[srcOffset + i*srcStride + c].
	// dst and src are of one kind and do not overlap. It also appends to a KV cache.
	Copy(dst, src Buffer, s Strided)

	// ArgMax writes the index of the largest of each of n rows of x [n, width]; the lowest index wins a tie. ids [n].
	ArgMax(ids, x Buffer, n, width int)

	// Submit runs what was recorded. With readbacks it waits and fills them; without, it may return before the work is done.
	// The pass cannot be used afterwards.
	Submit(reads ...Readback) error
}
