package host

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"shoal/experts/runnertest"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// writeArtifact writes random experts in the given format, and nothing else of a model, to a folder that is gone after the test.
// It returns the folder and the open model. runnertest.FromModel gives its reference.
func writeArtifact(t testing.TB, moe rdrr.MoE, format quant.Type, seed uint64) (dir string, m *rdrr.Model) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "model")
	w, err := rdrr.Create(dir, rdrr.Header{ModelID: "random experts", ModelType: "random", Config: json.RawMessage(`{"model_type":"random"}`), MoE: &moe}, rdrr.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	reference := runnertest.Random(moe, nil, seed)
	for _, layer := range moe.Layers {
		for e := range moe.Experts {
			weights, err := reference.Weights(layer, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, tensor := range encodeExpert(t, weights, layer, e, moe, format) {
				if err := w.Add(tensor); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if m, err = rdrr.OpenDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return dir, m
}

// encodeExpert returns the tensors of an expert.
func encodeExpert(t testing.TB, w runnertest.Weights, layer, expert int, moe rdrr.MoE, format quant.Type) []*rdrr.Tensor {
	t.Helper()
	var out []*rdrr.Tensor
	for _, part := range []struct {
		part   rdrr.ExpertPart
		values []float32
		shape  []int
	}{
		{rdrr.GateWeight, w.Gate, []int{moe.Intermediate, moe.Hidden}},
		{rdrr.UpWeight, w.Up, []int{moe.Intermediate, moe.Hidden}},
		{rdrr.DownWeight, w.Down, []int{moe.Hidden, moe.Intermediate}},
		{rdrr.GateBias, w.GateBias, []int{moe.Intermediate}},
		{rdrr.UpBias, w.UpBias, []int{moe.Intermediate}},
		{rdrr.DownBias, w.DownBias, []int{moe.Hidden}},
	} {
		if part.values == nil {
			continue
		}
		as, role := format, rdrr.RoleExpert
		if len(part.shape) == 1 {
			as = quant.F32
		}
		cols := part.shape[len(part.shape)-1]
		tensor := &rdrr.Tensor{Name: rdrr.ExpertTensor(layer, expert, part.part), Type: as, Shape: part.shape, Role: role}
		tensor.Data = make([]byte, len(part.values)/cols*as.RowBytes(cols))
		if err := quant.EncodeRows(as, tensor.Data, part.values, cols); err != nil {
			t.Fatal(err)
		}
		out = append(out, tensor)
	}
	return out
}
