// Package synth makes models of published shapes with random weights, for benchmarks and capacity tests without a download.
//
// [Config] has the configurations of named models; [New] is a checkpoint of such a model, which convert.Run writes as any
// other. Weights are made directly as blocks of their format: random payload bytes under headers whose scales give a matrix
// of n columns the standard deviation 1/sqrt(n), so that activations keep their size from layer to layer. Norms are 1, and the
// router is as random as the rest, so that experts are chosen about evenly. The same seed gives the same bytes on every
// machine. What such a model says is noise: nothing here tells of quality.
package synth

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/quant"
)

// Source is a synthetic checkpoint. It holds no weights: each tensor is made when it is loaded.
type Source struct {
	config  json.RawMessage
	scheme  convert.Scheme
	seed    uint64
	tensors []convert.Stored

	mu     sync.Mutex
	makers map[makerKey]*maker
	memory []byte // of the last tensor, when it is done with; nil while it is in use
}

type makerKey struct {
	t    quant.Type
	cols int
}

// New makes a checkpoint of an architecture's tensors. quantize is a conversion scheme (q4_k_m, q8_0, f16, or none for the
// formats in which the model is published), or the name of one number format for all matrices, such as q5_k.
func New(config json.RawMessage, tensors []rdrr.TensorSpec, quantize string, seed uint64) (*Source, error) {
	var c struct {
		ModelType    string `json:"model_type"`
		Quantization struct {
			Method string `json:"quant_method"`
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("synthetic model: configuration: %w", err)
	}
	s := &Source{config: config, scheme: convert.None, seed: seed, makers: map[makerKey]*maker{}}
	one := quant.Invalid
	scheme, err := convert.ParseScheme(quantize)
	if err == nil {
		s.scheme = scheme
	} else if one, err = quant.Parse(strings.ToUpper(quantize)); err != nil {
		return nil, fmt.Errorf("synthetic model: unknown quantisation %q, want q4_k_m, q8_0, f16, none, or a number format such as q5_k", quantize)
	}
	plan := convert.NewPlan(s.scheme, tensors)
	for _, spec := range tensors {
		t := plan.Type(spec, published(spec, c.Quantization.Method))
		if one != quant.Invalid {
			t = convert.Uniform(spec, one, t)
		}
		s.tensors = append(s.tensors, s.stored(spec, t, strings.HasPrefix(c.ModelType, "gemma")))
	}
	return s, nil
}

// published is the format in which a model's tensor is published: BF16, but for what its quant_method covers.
func published(spec rdrr.TensorSpec, method string) quant.Type {
	matrix := len(spec.Shape) == 2
	switch {
	case method == "mxfp4" && spec.Role == rdrr.RoleExpert && matrix:
		return quant.MXFP4
	case method == "fp8" && (spec.Role == rdrr.RoleExpert || spec.Role == rdrr.RoleMatrix) && matrix:
		return quant.F8E4M3
	case strings.HasSuffix(spec.Name, "e_score_correction_bias"):
		return quant.F32
	}
	return quant.BF16
}

// Scheme is what convert.Run is to be told: the tensors have its formats already.
func (s *Source) Scheme() convert.Scheme { return s.scheme }

// Tensors implements convert.Source.
func (s *Source) Tensors() []convert.Stored { return s.tensors }

// Config implements convert.Source.
func (s *Source) Config() json.RawMessage { return s.config }

// Files implements convert.Source. There is no tokenizer: such a model takes token ids.
func (s *Source) Files() (map[string][]byte, error) { return nil, nil }

// Close implements convert.Source.
func (s *Source) Close() error { return nil }

// stored describes one tensor. plusOne is a family that stores the weights of its norms less 1.
func (s *Source) stored(spec rdrr.TensorSpec, t quant.Type, plusOne bool) convert.Stored {
	rows, cols := 1, spec.Shape[len(spec.Shape)-1]
	for _, d := range spec.Shape[:len(spec.Shape)-1] {
		rows *= d
	}
	var used []byte
	load := func() ([]byte, error) {
		used = s.matrix(spec.Name, t, rows, cols)
		return used, nil
	}
	done := func() { s.giveBack(used); used = nil }
	switch {
	case spec.Role == rdrr.RoleNorm:
		value := float32(1)
		if plusOne || strings.HasSuffix(spec.Name, ".bias") {
			value = 0
		}
		load = func() ([]byte, error) { return constant(t, cols, value), nil }
	case spec.Role == rdrr.RoleVector:
		load = func() ([]byte, error) { return s.vector(spec.Name, t, cols), nil }
	}
	return convert.Stored{Name: spec.Name, From: spec.Name, Shape: spec.Shape, Type: t, Load: load, Done: done}
}

// take returns n bytes of any content, in the memory of a tensor before if that is free. New memory costs more time than the
// weights that go into it.
func (s *Source) take(n int) []byte {
	s.mu.Lock()
	memory := s.memory
	s.memory = nil
	s.mu.Unlock()
	if cap(memory) >= n {
		return memory[:n]
	}
	if n >= largeBytes {
		memory = nil
		debug.FreeOSMemory() // so that the tensor before is not there beside this one
	}
	return make([]byte, n)
}

func (s *Source) giveBack(memory []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cap(memory) > cap(s.memory) {
		s.memory = memory
	}
}

func constant(t quant.Type, n int, value float32) []byte {
	values := make([]float32, n)
	for i := range values {
		values[i] = value
	}
	out := make([]byte, t.RowBytes(n))
	quant.Encode(t, out, values)
	return out
}

// vectorDeviation is the standard deviation of biases and attention sinks: enough to be seen in a result, too little to rule it.
const vectorDeviation = 0.02

func (s *Source) vector(name string, t quant.Type, n int) []byte {
	r := s.random(name, 0)
	values := make([]float32, n)
	for i := range values {
		values[i] = vectorDeviation * r.normal()
	}
	out := make([]byte, t.RowBytes(n))
	quant.Encode(t, out, values)
	return out
}

// largeBytes is the size from which a tensor counts when memory is short.
const largeBytes = 64 << 20

// chunkBytes is about how much a worker makes at a time. It is part of what a seed means.
const chunkBytes = 1 << 18

// matrix makes rows of cols weights. Rows are shared out over the cores in chunks with a random sequence of their own, so that
// the result does not depend on how many cores there are.
func (s *Source) matrix(name string, t quant.Type, rows, cols int) []byte {
	m := s.maker(t, cols)
	size := t.RowBytes(cols)
	out := s.take(rows * size)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	step := max(1, chunkBytes/size)
	for first := 0; first < rows; first += step {
		g.Go(func() error {
			m.rows(out[first*size:min(first+step, rows)*size], s.random(name, first/step))
			return nil
		})
	}
	_ = g.Wait() // no chunk fails
	return out
}

// maker returns what makes rows of that format and length.
func (s *Source) maker(t quant.Type, cols int) *maker {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := makerKey{t, cols}
	if s.makers[key] == nil {
		s.makers[key] = newMaker(t, cols)
	}
	return s.makers[key]
}

// random is the random sequence of a chunk of a tensor.
func (s *Source) random(name string, chunk int) *random {
	h := fnv.New64a()
	h.Write([]byte(name))
	r := random(s.seed)
	r ^= random(h.Sum64())
	r = random(r.next()) + random(chunk)*0xd1342543de82ef95
	r.next()
	return &r
}
