package convert_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"shoal/model"
	"shoal/rdrr"
	"shoal/rdrr/convert"
	"shoal/rdrr/quant"
)

// export writes an artifact as a GGUF file.
func export(t testing.TB, m *rdrr.Model, scheme string) (path string, report convert.GGUFReport) {
	t.Helper()
	spec, err := model.Parse(m.Config())
	must(t, err)
	described, err := spec.GGUF()
	must(t, err)
	path = filepath.Join(t.TempDir(), "model.gguf")
	report, err = convert.ExportGGUF(context.Background(), convert.GGUFOptions{
		Model: m, Output: path, Quantize: scheme, Tensors: spec.Tensors(),
		Architecture: described.Architecture, Keys: described.Keys, RopeFactors: described.RopeFactors,
	})
	must(t, err)
	return path, report
}

// TestExportedModelsComputeTheSame writes every family as GGUF, reads the file back, and compares logits.
func TestExportedModelsComputeTheSame(t *testing.T) {
	for _, dir := range fixtures(t) {
		t.Run(filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir), func(t *testing.T) {
			_, m := run(t, options(t, dir, "none"))
			_, tokens := referenceLogits(t, filepath.Join(dir, "reference.safetensors"))
			path, report := export(t, m, "none")
			imported := importGGUF(t, path)
			if len(report.Recoded) > 0 {
				sameWeights(t, imported, m, 1e-5) // a router may choose otherwise after the least change
				return
			}
			want, _ := logits(t, m, tokens)
			got, _ := logits(t, imported, tokens)
			if err := difference(got, want); err > 1e-9 {
				t.Errorf("logits differ by an NMSE of %.3g", err)
			}
		})
	}
}

// sameWeights compares every tensor.
func sameWeights(t testing.TB, got, want *rdrr.Model, bound float64) {
	t.Helper()
	for _, entry := range want.Manifest().Tensors {
		a, err := got.Tensor(entry.Name)
		must(t, err)
		b, err := want.Tensor(entry.Name)
		must(t, err)
		x, err := a.Floats()
		must(t, err)
		y, err := b.Floats()
		must(t, err)
		if err := difference(x, y); err > bound {
			t.Errorf("tensor %s (%s, was %s): NMSE %.2g, want at most %.2g", entry.Name, a.Type, b.Type, err, bound)
		}
	}
}

func TestExportRequantises(t *testing.T) {
	_, m := run(t, options(t, fixture("qwen3-moe"), "none"))
	path, report := export(t, m, "q8_0")
	if len(report.Types) != 2 || report.Types[quant.Q8_0] == 0 || report.Types[quant.F32] == 0 {
		t.Errorf("formats %v, want Q8_0 and F32", report.Types)
	}
	sameWeights(t, importGGUF(t, path), m, 1e-4)
}

// TestExportIsAllOrNothing checks that a file is never replaced unasked, and that a failure leaves nothing.
func TestExportIsAllOrNothing(t *testing.T) {
	_, m := run(t, options(t, fixture("qwen3"), "none"))
	spec, err := model.Parse(m.Config())
	must(t, err)
	described, err := spec.GGUF()
	must(t, err)
	dir := t.TempDir()
	o := convert.GGUFOptions{
		Model: m, Output: filepath.Join(dir, "model.gguf"), Tensors: spec.Tensors(), Architecture: described.Architecture, Keys: described.Keys,
	}
	interrupted, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := convert.ExportGGUF(interrupted, o); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: error %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("interrupted: %v is left", left)
	}
	must(t, os.WriteFile(o.Output, []byte("precious"), 0o644))
	if _, err := convert.ExportGGUF(context.Background(), o); err == nil {
		t.Error("a file that was there is replaced")
	}
	o.Replace = true
	if _, err := convert.ExportGGUF(context.Background(), o); err != nil || !convert.IsGGUF(o.Output) {
		t.Errorf("asked to replace: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}
