package runnertest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"shoal/experts"
	"shoal/rdrr"
	"shoal/rdrr/quant"
)

// FromModel returns a reference that decodes an artifact's experts as it needs them.
func FromModel(m *rdrr.Model, holds experts.Holdings) (*Reference, error) {
	moe := m.MoE()
	if moe == nil {
		return nil, fmt.Errorf("model %s has no routed experts", m.Digest().Short())
	}
	return &Reference{Digest: m.Digest(), MoE: *moe, Holds: holds, Weights: func(layer, expert int) (Weights, error) {
		e, err := m.Expert(layer, expert)
		if err != nil {
			return Weights{}, err
		}
		var w Weights
		for _, part := range []struct {
			dst *[]float32
			src *rdrr.Tensor
		}{{&w.Gate, e.Gate}, {&w.Up, e.Up}, {&w.Down, e.Down}, {&w.GateBias, e.GateBias}, {&w.UpBias, e.UpBias}, {&w.DownBias, e.DownBias}} {
			if part.src == nil {
				continue
			}
			if *part.dst, err = part.src.Floats(); err != nil {
				return Weights{}, err
			}
		}
		return w, nil
	}}, nil
}

// Artifact writes random experts in the given format, and nothing else of a model, to a folder that is gone after the test.
// It returns the folder and the open model. [FromModel] gives its reference.
func Artifact(t testing.TB, moe rdrr.MoE, format quant.Type, seed uint64) (dir string, m *rdrr.Model) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "model")
	w, err := rdrr.Create(dir, rdrr.Header{ModelID: "random experts", ModelType: "random", Config: json.RawMessage(`{"model_type":"random"}`), MoE: &moe}, rdrr.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	reference := Random(moe, nil, seed)
	for _, layer := range moe.Layers {
		for e := range moe.Experts {
			weights, err := reference.Weights(layer, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, tensor := range weights.tensors(t, layer, e, moe, format) {
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

// tensors encodes an expert.
func (w Weights) tensors(t testing.TB, layer, expert int, moe rdrr.MoE, format quant.Type) []*rdrr.Tensor {
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
