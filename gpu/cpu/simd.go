package cpu

//go:generate go -C asm run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg cpu

import (
	"unsafe"

	"shoal/rdrr/quant"
)

// kernels are vector instructions for the loops of this package, each with the bits of its twin in Go. A nil *kernels stands for
// Go's.
type kernels struct {
	name    string
	formats [numFormats]formatKernels
	tile    int // vectors that a panel is multiplied with at a time
	// panel adds the products of a panel's eight rows with tile or fewer vectors, over steps groups of eight columns, to
	// acc [vectors][8 rows][8 lanes].
	panel func(acc, w *float32, x []*float32, steps int)
	// reduce sums n accumulators of eight lanes.
	reduce func(dst, acc *float32, n int)

	int8s          [numFormats]int8Kernels
	quantiseBlocks func(chunk *byte, x *float32, blocks int)

	// Of groups of eight elements; see vectors.go and exp.go.
	addScaled   func(dst, x *float32, w float32, groups int)
	scale       func(x *float32, w float32, groups int)
	scaleEach   func(dst, x, weights *float32, w float32, groups int)
	activations [3]func(dst, gate, up *float32, groups int) // by gpu.Activation
	expSums     func(sums *[8]float64, x *float32, top float32, groups int)
	largest     func(x *float32, groups int) float32
	squares     func(sums *[4]float64, x *float32, mean float64, quads int)

	// scores are the products of one or two query heads with quads of keys, weigh adds weighted values to one or two heads' outputs,
	// 32 or 8 columns wide. Strides are in bytes; see attention.go.
	scores [2]func(dst *float32, dstStride int, q *float32, qStride int, keys *float32, keyStride, quads, steps int, scale float32)
	weigh  [2][2]func(dst *float32, dstStride int, weights *float32, weightStride int, values *float32, valueStride, positions int)
}

// formatKernels take steps of a fixed number of weights, a multiple of eight and of the format's block.
type formatKernels struct {
	weights, bytes int
	decode         func(dst *float32, src *byte, steps int) // groups of eight weights go 64 floats apart
	dot            func(a, b *byte, x *float32, steps int) (ya, yb float32)
}

// numFormats bounds the values of quant.Type.
const numFormats = 16

func (k *kernels) of(t quant.Type) *formatKernels { return &k.formats[t] }

// first returns the address of a slice's element i, as kernels take it.
func first[T any](s []T, i int) *T { return unsafe.SliceData(s[i:]) }

func (k *kernels) String() string {
	if k == nil {
		return "Go"
	}
	return k.name
}
