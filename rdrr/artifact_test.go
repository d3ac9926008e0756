package rdrr_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// The artifact of these tests: two layers, the second with two experts.
const (
	hidden       = 64
	intermediate = 32
	vocab        = 5
)

var testConfig = json.RawMessage(`{"model_type": "toy", "num_experts_per_tok": 1, "hidden_act": "silu", "rms_norm_eps": 1e-06}`)

func testMoE() *rdrr.MoE {
	return &rdrr.MoE{Layers: []int{1}, Experts: 2, TopK: 1, Hidden: hidden, Intermediate: intermediate, Activation: "silu"}
}

func testHeader() rdrr.Header {
	return rdrr.Header{ModelID: "toy", ModelType: "toy", Quantization: "Q8_0", Config: testConfig, MoE: testMoE()}
}

// testTensor makes a tensor with values that differ from tensor to tensor.
func testTensor(name string, t quant.Type, shape ...int) *rdrr.Tensor {
	x := &rdrr.Tensor{Name: name, Type: t, Shape: shape, Role: rdrr.RoleOf(name)}
	rows, cols := x.Rows(), x.Cols()
	x.Data = make([]byte, rows*t.RowBytes(cols))
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(math.Sin(float64(i + 7*len(name))))
	}
	if err := quant.EncodeRows(t, x.Data, values, cols); err != nil {
		panic(err)
	}
	return x
}

func testTrunk() []*rdrr.Tensor {
	return []*rdrr.Tensor{
		testTensor("model.embed_tokens.weight", quant.Q8_0, vocab, hidden),
		testTensor("model.layers.0.input_layernorm.weight", quant.F32, hidden),
		testTensor("model.layers.1.mlp.gate.weight", quant.BF16, 2, hidden),
		testTensor("model.norm.weight", quant.F32, hidden-3), // leaves the next tensor to be aligned
		testTensor("lm_head.weight", quant.Q8_0, vocab, hidden),
	}
}

func testExpert(layer, expert int) []*rdrr.Tensor {
	return []*rdrr.Tensor{
		testTensor(rdrr.ExpertTensor(layer, expert, rdrr.GateWeight), quant.Q8_0, intermediate, hidden),
		testTensor(rdrr.ExpertTensor(layer, expert, rdrr.UpWeight), quant.Q8_0, intermediate, hidden),
		testTensor(rdrr.ExpertTensor(layer, expert, rdrr.DownWeight), quant.F16, hidden, intermediate),
	}
}

func testTensors() []*rdrr.Tensor {
	return append(append(testTrunk(), testExpert(1, 0)...), testExpert(1, 1)...)
}

// writeArtifact writes the test artifact to a new folder.
func writeArtifact(t testing.TB, o rdrr.WriterOptions) (dir string, digest rdrr.Digest) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "toy")
	w, err := rdrr.Create(dir, testHeader(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, x := range testTensors() {
		if err := w.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.AddFile("tokenizer.json", []byte(`{"model": {}}`)); err != nil {
		t.Fatal(err)
	}
	if digest, err = w.Commit(); err != nil {
		t.Fatal(err)
	}
	return dir, digest
}

func openArtifact(t testing.TB, dir string) *rdrr.Model {
	t.Helper()
	m, err := rdrr.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// edited is a manifest, changed as decoded JSON.
func edited(t testing.TB, raw []byte, edit func(m map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func flipByte(t testing.TB, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func le32(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
