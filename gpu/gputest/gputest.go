// Package gputest is the suite that every gpu.Device passes: each operation on odd shapes against its plain twin in
// shaders/ref, with the error bounds of [bounds.go]; equal bits for a row alone and in a batch; errors; memory accounts; passes
// from several goroutines. A backend's own test opens a device and calls [Run].
//
// The suite knows nothing of a backend's inside. Speed is measured elsewhere.
package gputest

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"shoal/gpu"
)

// BindingLimiter is a device that splits matrices larger than a limit, as WebGPU's largest storage binding demands. A backend's
// tests open one device with a small limit, say 64 KiB, and Run then has it multiply matrices of several times that size.
type BindingLimiter interface {
	BindingLimit() int64 // bytes
}

// Run tests dev, which stays open.
func Run(t *testing.T, dev gpu.Device) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"Embed", testEmbed},
		{"RMSNorm", testRMSNorm},
		{"LayerNorm", testLayerNorm},
		{"MatMul", testMatMul},
		{"MatMulSubnormalScale", testMatMulSubnormalScale},
		{"MatMulRowsAlone", testMatMulRowsAlone},
		{"MatMulSplit", testMatMulSplit},
		{"MatMulEach", testMatMulEach},
		{"MatMulExperts", testMatMulExperts},
		{"MatMulExpertsAlone", testMatMulExpertsAlone},
		{"MatMulInto", testMatMulInto},
		{"MatMulGated", testMatMulGated},
		{"MatMulExpertsAdd", testMatMulExpertsAdd},
		{"Heads", testHeads},
		{"RoPE", testRoPE},
		{"Attention", testAttention},
		{"AttentionRowsAlone", testAttentionRowsAlone},
		{"Activate", testActivate},
		{"TopK", testTopK},
		{"TopKTies", testTopKTies},
		{"Combine", testCombine},
		{"Add", testAdd},
		{"AddSigmoid", testAddSigmoid},
		{"Copy", testCopy},
		{"ArgMax", testArgMax},
		{"ManyRows", testManyRows},
		{"NoRows", testNoRows},
		{"Matrix", testMatrix},
		{"Memory", testMemory},
		{"Order", testOrder},
		{"Errors", testErrors},
		{"Concurrent", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := fnv.New64a()
			h.Write([]byte(test.name))
			s := &suite{T: t, dev: dev, rng: rand.New(rand.NewPCG(h.Sum64(), 1))}
			defer s.free()
			test.run(s)
		})
	}
}

// suite is one test on one device. What it makes on the device is freed when the test ends.
type suite struct {
	*testing.T
	dev  gpu.Device
	rng  *rand.Rand
	made []interface{ Free() }
}

func (s *suite) free() {
	for _, m := range s.made {
		m.Free()
	}
	s.made = nil
}

// normal returns n numbers of a normal distribution with deviation 1.
func (s *suite) normal(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(s.rng.NormFloat64())
	}
	return x
}

// floats returns a buffer that holds data.
func (s *suite) floats(data []float32) gpu.Buffer {
	s.Helper()
	b := s.empty(gpu.F32, len(data))
	s.must(s.dev.WriteFloats(b, 0, data))
	return b
}

// ids returns a buffer that holds data.
func (s *suite) ids(data []uint32) gpu.Buffer {
	s.Helper()
	b := s.empty(gpu.U32, len(data))
	s.must(s.dev.WriteIDs(b, 0, data))
	return b
}

func (s *suite) empty(k gpu.Kind, n int) gpu.Buffer {
	s.Helper()
	b, err := s.dev.NewBuffer("test", k, n)
	s.must(err)
	s.made = append(s.made, b)
	return b
}

// output returns a buffer of n floats that holds none of the numbers a kernel may find there by luck.
func (s *suite) output(n int) gpu.Buffer {
	s.Helper()
	return s.floats(filled(n, untouched))
}

// untouched is what output buffers hold before an operation, so that a write beyond its place is seen.
const untouched = -12345

func filled(n int, v float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v
	}
	return x
}

// run records one pass and returns what b holds after it.
func (s *suite) run(b gpu.Buffer, record func(gpu.Pass)) []float32 {
	s.Helper()
	out := make([]float32, b.Len())
	p := s.dev.Begin()
	record(p)
	s.must(p.Submit(gpu.Readback{From: b, Floats: out}))
	return out
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// near fails the test unless got[i] is within bound(i) of want[i] for every i.
func (s *suite) near(what string, got, want []float32, bound func(i int) float64) {
	s.Helper()
	if len(got) != len(want) {
		s.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	wrong := 0
	for i := range want {
		// The negated comparison catches NaN.
		if d, b := math.Abs(float64(got[i])-float64(want[i])), bound(i)+tiny; !(d <= b) {
			if wrong++; wrong <= 3 {
				s.Errorf("%s: element %d is %v, want %v: error %.3g exceeds %.3g", what, i, got[i], want[i], d, b)
			}
		}
	}
	if wrong > 3 {
		s.Errorf("%s: %d of %d elements are wrong", what, wrong, len(want))
	}
}

// equal fails the test unless both hold the same bits.
func (s *suite) equal(what string, got, want []float32) {
	s.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			s.Errorf("%s: element %d is %v (%#x), want the bits of %v (%#x)", what, i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
			return
		}
	}
}

func (s *suite) equalIDs(what string, got, want []uint32) {
	s.Helper()
	for i := range want {
		if got[i] != want[i] {
			s.Errorf("%s: element %d is %d, want %d", what, i, got[i], want[i])
			return
		}
	}
}
