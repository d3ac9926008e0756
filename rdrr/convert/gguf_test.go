package convert_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"shoal/gpu"
	"shoal/gpu/cpu"
	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/convert/safetensors"
)

// llamaCPP are files written by llama.cpp with the logits that it computed, where they lie beside the project.
const llamaCPP = "../../../shared/gguf"

func TestLogitsOfLlamaCPP(t *testing.T) {
	paths, _ := filepath.Glob(llamaCPP + "/*.gguf")
	if len(paths) == 0 {
		t.Skip("no files of llama.cpp beside the project")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			m := importGGUF(t, path)
			want, tokens := referenceLogits(t, path[:len(path)-len(".gguf")]+".reference.safetensors")
			got, gaps := logits(t, m, tokens)
			vocab, ties := len(want)/len(tokens), 0
			for i := range tokens {
				err := difference(got[i*vocab:][:vocab], want[i*vocab:][:vocab])
				switch {
				case err <= 1e-6:
				case gaps[i] < nearTie:
					ties++
				default:
					t.Errorf("token %d: logits differ by an NMSE of %.3g", i, err)
				}
			}
			if ties > 1 {
				t.Errorf("%d tokens of %d differ after a near tie of two experts", ties, len(tokens))
			}
		})
	}
}

// nearTie is a difference of router scores that llama.cpp decides by chance: its attention works in F16, with a relative error
// of about 5e-4 in what the router sees. The logits of such a token cannot be compared.
const nearTie = 1e-3

// importGGUF converts a file as it is stored.
func importGGUF(t testing.TB, path string) *rdrr.Model {
	t.Helper()
	source, err := convert.OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	return convertSource(t, source)
}

func convertSource(t testing.TB, source convert.Source) *rdrr.Model {
	t.Helper()
	spec, err := model.Parse(source.Config())
	if err != nil {
		t.Fatalf("%v\n%s", err, source.Config())
	}
	out := filepath.Join(t.TempDir(), "artifact")
	_, err = convert.Run(context.Background(), convert.Options{
		Source: source, Output: out, Quantize: "none", ModelID: "test", Tensors: spec.Tensors(), MoE: spec.MoE(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := rdrr.OpenDir(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func referenceLogits(t testing.TB, path string) (want []float32, tokens []int) {
	t.Helper()
	file, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want, err = file.Tensor("logits").Floats()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := file.Tensor("input_ids").Ints()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		tokens = append(tokens, int(id))
	}
	return want, tokens
}

// logits runs tokens through the whole model. It returns the logits of every row, and by how much the router of the layer
// that was least sure preferred the last chosen expert to the first left out.
func logits(t testing.TB, m *rdrr.Model, tokens []int) (out []float32, gaps []float64) {
	t.Helper()
	gaps = slices.Repeat([]float64{math.Inf(1)}, len(tokens))
	dev := cpu.New(2)
	t.Cleanup(dev.Close)
	trunk, err := model.Load(dev, m, model.Options{Rows: len(tokens)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trunk.Close)
	seq, err := trunk.NewSequence(len(tokens))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(seq.Close)
	must(t, seq.Embed(tokens))
	for l, layer := range trunk.Spec().Layers {
		must(t, seq.Attend(l))
		if layer.MoE == nil {
			must(t, seq.FFN(l))
			continue
		}
		h, _, err := seq.Route(l)
		must(t, err)
		router, err := m.Tensor(fmt.Sprintf("model.layers.%d.mlp.gate.weight", l))
		must(t, err)
		for i := range gaps {
			gaps[i] = min(gaps[i], routerGap(t, router, h[i*trunk.Spec().Hidden:][:trunk.Spec().Hidden], layer.MoE.TopK))
		}
		must(t, seq.Experts(l, loadBank(t, dev, m, l, layer.MoE, len(tokens))))
	}
	out, err = seq.Logits(true)
	must(t, err)
	return out, gaps
}

// routerGap is the difference between the k-th and the next score of a router for one row.
func routerGap(t testing.TB, router *rdrr.Tensor, h []float32, k int) float64 {
	t.Helper()
	w, err := router.Floats()
	must(t, err)
	scores := make([]float64, router.Rows())
	for e := range scores {
		for i, x := range h {
			scores[e] += float64(w[e*len(h)+i]) * float64(x)
		}
	}
	slices.Sort(scores)
	slices.Reverse(scores)
	if k >= len(scores) {
		return math.Inf(1)
	}
	return scores[k-1] - scores[k]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bank is a layer's experts, the plainest model.LayerExperts.
type bank struct {
	weights [3]gpu.Matrix // gate, up, down
	biases  [3]gpu.Buffer // nil if there are none
	g, u, a gpu.Buffer
	moe     *model.MoE
}

func loadBank(t testing.TB, dev gpu.Device, m *rdrr.Model, layer int, moe *model.MoE, rows int) *bank {
	t.Helper()
	b := &bank{moe: moe}
	for e := range moe.Experts {
		x, err := m.Expert(layer, e)
		must(t, err)
		for i, from := range []*rdrr.Tensor{x.Gate, x.Up, x.Down} {
			if b.weights[i] == nil {
				b.weights[i], err = dev.NewMatrix("experts", from.Type, moe.Experts, from.Rows(), from.Cols())
				must(t, err)
				t.Cleanup(b.weights[i].Free)
			}
			must(t, b.weights[i].Load(e, from.Data))
		}
		for i, from := range []*rdrr.Tensor{x.GateBias, x.UpBias, x.DownBias} {
			if from == nil {
				continue
			}
			values, err := from.Floats()
			must(t, err)
			if b.biases[i] == nil {
				b.biases[i], err = dev.NewBuffer("bias", gpu.F32, moe.Experts*len(values))
				must(t, err)
				t.Cleanup(b.biases[i].Free)
			}
			must(t, dev.WriteFloats(b.biases[i], e*len(values), values))
		}
	}
	for _, to := range []*gpu.Buffer{&b.g, &b.u, &b.a} {
		var err error
		*to, err = dev.NewBuffer("scratch", gpu.F32, rows*moe.TopK*moe.Intermediate)
		must(t, err)
		t.Cleanup((*to).Free)
	}
	return b
}

func (b *bank) Forward(p gpu.Pass, y, x, ids gpu.Buffer, n, k int) error {
	p.MatMulExperts(b.g, x, b.weights[0], b.biases[0], ids, n, k, false)
	p.MatMulExperts(b.u, x, b.weights[1], b.biases[1], ids, n, k, false)
	p.Activate(b.a, b.g, b.u, n*k*b.moe.Intermediate, b.moe.Activation)
	p.MatMulExperts(y, b.a, b.weights[2], b.biases[2], ids, n, k, true)
	return nil
}

// difference is the mean squared error over the mean square of what is wanted.
func difference(got, want []float32) float64 {
	var err, sum float64
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		err += d * d
		sum += float64(w) * float64(w)
	}
	return err / sum
}
