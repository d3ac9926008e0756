package convert_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/convert/safetensors"
	"shoal/rdrr/quant"
)

const repository = "../.."

// fixture is the folder of a small reference checkpoint.
func fixture(name string) string { return filepath.Join(repository, "testdata/fixtures-small", name) }

// fixtures lists the reference checkpoints: those of the repository, and the larger ones where they lie beside it.
func fixtures(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, pattern := range []string{"testdata/fixtures-small/*/config.json", "../shared/fixtures/*/config.json"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	if len(dirs) < 14 {
		t.Fatalf("only %d reference checkpoints found", len(dirs))
	}
	return dirs
}

// options are those of a conversion of a folder to a new one.
func options(t *testing.T, dir, scheme string) convert.Options {
	t.Helper()
	config, err := convert.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := model.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	return convert.Options{Input: dir, Output: filepath.Join(t.TempDir(), "artifact"), Quantize: scheme, Tensors: spec.Tensors(), MoE: spec.MoE()}
}

func run(t *testing.T, o convert.Options) (convert.Report, *rdrr.Model) {
	t.Helper()
	report, err := convert.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	m, err := rdrr.OpenDir(o.Output)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if m.Digest() != report.Digest {
		t.Errorf("the report says digest %s, the artifact %s", report.Digest, m.Digest())
	}
	return report, m
}

func openCheckpoint(t *testing.T, dir string) *safetensors.Checkpoint {
	t.Helper()
	c, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Without quantisation an artifact has exactly the weights of the checkpoint, whatever their number format.
func TestNoneKeepsEveryWeight(t *testing.T) {
	for _, dir := range fixtures(t) {
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			_, m := run(t, options(t, dir, "none"))
			if err := m.VerifyAll(context.Background(), nil); err != nil {
				t.Error(err)
			}
			c := openCheckpoint(t, dir)
			checked := 0
			for _, published := range c.Names() {
				name, keep := rdrr.CanonicalName(published)
				if !keep || !m.Has(name) {
					continue // stacked, packed and scale tensors are the next test's
				}
				checked++
				got, err := m.Tensor(name)
				if err != nil {
					t.Fatal(err)
				}
				values, err := got.Floats()
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range publishedValues(t, c, published) {
					if values[i] != want {
						t.Fatalf("%s: value %d is %v, the checkpoint has %v", name, i, values[i], want)
					}
				}
			}
			if packed := c.Tensor("model.layers.0.mlp.experts.gate_up_proj_blocks"); packed != nil {
				checked += checkMXFP4(t, m, c)
			}
			if checked != len(m.Manifest().Tensors) {
				t.Errorf("checked %d of %d tensors", checked, len(m.Manifest().Tensors))
			}
		})
	}
}

// publishedValues decodes a tensor straight from the checkpoint, by the definition of FP8 with 128x128 scales where it has them.
func publishedValues(t *testing.T, c *safetensors.Checkpoint, name string) []float32 {
	t.Helper()
	x := c.Tensor(name)
	if x.DType != safetensors.F8E4M3 {
		values, err := x.Floats()
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	b, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	scales, err := c.Tensor(name + "_scale_inv").Floats()
	if err != nil {
		t.Fatal(err)
	}
	cols := x.Shape[1]
	values := make([]float32, len(b))
	for i := range values {
		r, col := i/cols, i%cols
		values[i] = scales[r/128*((cols+127)/128)+col/128] * e4m3(b[i])
	}
	return values
}

func e4m3(b byte) float32 {
	exponent, fraction := int(b>>3&15), float64(b&7)/8
	v := math.Ldexp(1+fraction, exponent-7)
	if exponent == 0 {
		v = math.Ldexp(fraction, -6)
	}
	if b >= 128 {
		v = -v
	}
	return float32(v)
}

// checkMXFP4 compares the experts of GPT-OSS with the published blocks, nibble by nibble: gate and up rows alternate, byte i of a
// block holds weights 2i (low) and 2i+1 (high), a scale s means 2^(s-127).
func checkMXFP4(t *testing.T, m *rdrr.Model, c *safetensors.Checkpoint) (checked int) {
	t.Helper()
	e2m1 := []float64{0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6}
	moe := m.MoE()
	for _, layer := range moe.Layers {
		prefix := strings.TrimSuffix(rdrr.ExpertTensor(layer, 0, ""), "0.")
		for expert := range moe.Experts {
			e, err := m.Expert(layer, expert)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []struct {
				weight, bias *rdrr.Tensor
				published    string
				first, step  int
			}{
				{e.Gate, e.GateBias, "gate_up_proj", 0, 2},
				{e.Up, e.UpBias, "gate_up_proj", 1, 2},
				{e.Down, e.DownBias, "down_proj", 0, 1},
			} {
				blocks, err1 := c.Tensor(prefix + p.published + "_blocks").Bytes()
				scales, err2 := c.Tensor(prefix + p.published + "_scales").Bytes()
				bias, err3 := c.Tensor(prefix + p.published + "_bias").Floats()
				weights, err4 := p.weight.Floats()
				biases, err5 := p.bias.Floats()
				for _, err := range []error{err1, err2, err3, err4, err5} {
					if err != nil {
						t.Fatal(err)
					}
				}
				rows, cols := p.weight.Rows(), p.weight.Cols()
				for r := range rows {
					row := expert*rows*p.step + p.first + r*p.step
					if biases[r] != bias[row] {
						t.Fatalf("%s: row %d is %v, the checkpoint has %v", p.bias.Name, r, biases[r], bias[row])
					}
					for col := range cols {
						at := row*cols + col
						want := float32(math.Ldexp(e2m1[blocks[at/2]>>(4*(at%2))&15], int(scales[at/32])-127))
						if got := weights[r*cols+col]; got != want {
							t.Fatalf("%s: row %d column %d is %v, the checkpoint has %v", p.weight.Name, r, col, got, want)
						}
					}
				}
				checked += 2
			}
		}
	}
	return checked
}

// What may not be quantised is not, whatever is asked for; everything else has a small error.
func TestQuantisedSchemes(t *testing.T) {
	for _, dir := range fixtures(t)[:14] {
		_, exact := run(t, options(t, dir, "none"))
		for scheme, bound := range map[string]float64{"f16": 1e-6, "q8_0": 1e-4, "q4_k_m": 0.01} {
			report, m := run(t, options(t, dir, scheme))
			for _, entry := range m.Manifest().Tensors {
				got, err1 := m.Tensor(entry.Name)
				want, err2 := exact.Tensor(entry.Name)
				if err1 != nil || err2 != nil {
					t.Fatal(err1, err2)
				}
				switch entry.Role {
				case rdrr.RoleNorm, rdrr.RoleRouter, rdrr.RoleVector:
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%s %s: a %s changed: %s", dir, scheme, entry.Role, d)
					}
					continue
				}
				if e := nmse(t, got, want); e > bound {
					t.Errorf("%s %s: tensor %s (%s): NMSE %.2g, want at most %.2g", dir, scheme, entry.Name, entry.Type, e, bound)
				}
			}
			if scheme == "q8_0" && report.BitsPerWeight() > 10.3 {
				t.Errorf("%s %s: %.2f bits a weight", dir, scheme, report.BitsPerWeight())
			}
		}
	}
}

func nmse(t *testing.T, got, want *rdrr.Tensor) float64 {
	t.Helper()
	a, err1 := got.Floats()
	b, err2 := want.Floats()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	var diff, power float64
	for i := range b {
		d := float64(a[i] - b[i])
		diff += d * d
		power += float64(b[i]) * float64(b[i])
	}
	return diff / power
}

// The other files of the folder travel with the weights, and the configuration stays as published.
func TestFilesTravel(t *testing.T) {
	dir := copyFixture(t, "qwen3-moe")
	put(t, dir, "tokenizer.json", []byte(`{"model":{}}`))
	put(t, dir, "chat_template.jinja", []byte("{{ x }}"))
	put(t, dir, "README.md", []byte("not ours"))
	o := options(t, dir, "none")
	o.ModelID = "named"
	_, m := run(t, o)
	if b, err := m.File("chat_template.jinja"); err != nil || string(b) != "{{ x }}" {
		t.Errorf("chat_template.jinja is %q, %v", b, err)
	}
	if _, err := m.File("README.md"); err == nil {
		t.Error("README.md was taken along")
	}
	var want, got map[string]any
	config, err := convert.ReadConfig(dir)
	if err != nil || json.Unmarshal(config, &want) != nil || json.Unmarshal(m.Config(), &got) != nil {
		t.Fatal("no configuration", err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := m.Manifest(); got.ModelID != "named" || got.ModelType != "qwen3_moe" || got.Quantization != quant.BF16.String() {
		t.Errorf("the manifest says %s, %s, %s", got.ModelID, got.ModelType, got.Quantization)
	}
}

// copyFixture copies a reference checkpoint to a folder that a test may change.
func copyFixture(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"config.json", "model.safetensors"} {
		b, err := os.ReadFile(filepath.Join(fixture(name), file))
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, file, b)
	}
	return dir
}

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
