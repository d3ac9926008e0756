package convert

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"shoal/rdrr"
)

// job is a tensor to be written: what the architecture expects and where it comes from.
type job struct {
	spec   rdrr.TensorSpec
	stored Stored
}

func (j job) weights() int64 {
	n := int64(1)
	for _, d := range j.spec.Shape {
		n *= int64(d)
	}
	return n
}

// tensor reads and recodes the job's tensor.
func (j job) tensor(ctx context.Context, plan Plan) (*rdrr.Tensor, error) {
	t := &rdrr.Tensor{Name: j.spec.Name, Type: plan.Type(j.spec, j.stored.Type), Shape: j.spec.Shape, Role: j.spec.Role}
	data, err := j.stored.Load()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", j.stored.From, err)
	}
	if want := t.Rows() * j.stored.Type.RowBytes(t.Cols()); len(data) != want {
		return nil, fmt.Errorf("tensor %s: source gives %d bytes, %s of shape %v takes %d", j.stored.From, len(data), j.stored.Type, t.Shape, want)
	}
	if t.Data, err = recode(ctx, t.Type, j.stored.Type, data, t.Rows(), t.Cols()); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", j.stored.From, err)
	}
	return t, nil
}

// match pairs what the architecture expects with what the checkpoint has, in the order in which an artifact is written. It
// also lists the tensors that are left out knowingly.
func match(have []Stored, want []rdrr.TensorSpec, config json.RawMessage) (jobs []job, skipped []string, err error) {
	stored := make(map[string]Stored, len(have))
	for _, s := range have {
		if other, ok := stored[s.Name]; ok {
			return nil, nil, fmt.Errorf("tensors %s and %s of the checkpoint are both %s", other.From, s.From, s.Name)
		}
		stored[s.Name] = s
	}
	var missing []string
	layers := 0
	for _, spec := range want {
		layers = max(layers, spec.Layer+1)
		s, ok := stored[spec.Name]
		delete(stored, spec.Name)
		switch {
		case !ok && spec.Optional:
		case !ok:
			missing = append(missing, fmt.Sprintf("%s %v", spec.Name, spec.Shape))
		case !slices.Equal(s.Shape, spec.Shape):
			return nil, nil, fmt.Errorf("tensor %s has shape %v, the configuration asks for %v", s.From, s.Shape, spec.Shape)
		default:
			jobs = append(jobs, job{spec, s})
		}
	}
	if missing != nil {
		return nil, nil, fmt.Errorf("the checkpoint has no tensor %s, which the configuration asks for", list(missing))
	}
	var unexpected []string
	for name, s := range stored {
		if leftOut(name, layers, config) {
			skipped = append(skipped, name)
		} else {
			unexpected = append(unexpected, fmt.Sprintf("%s %v", s.From, s.Shape))
		}
	}
	slices.Sort(skipped)
	if unexpected != nil {
		slices.Sort(unexpected)
		return nil, nil, fmt.Errorf("the checkpoint has tensor %s, which the configuration does not know", list(unexpected))
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return compareOrder(a.spec, b.spec) })
	return jobs, skipped, nil
}

// leftOut tells of tensors that a checkpoint may have although the model does not use them: a copy of the embedding as the
// head of a model that ties the two, and layers past the last, which predict further tokens.
func leftOut(name string, layers int, config json.RawMessage) bool {
	var c struct {
		Tied  *bool `json:"tie_word_embeddings"`
		NextN int   `json:"num_nextn_predict_layers"`
	}
	_ = json.Unmarshal(config, &c) // fields of another type mean the same as none
	if name == "lm_head.weight" {
		return c.Tied == nil || *c.Tied
	}
	layer := rdrr.LayerOf(name)
	return layer >= layers && layer < layers+c.NextN
}

// compareOrder puts the trunk before the experts, and the experts one after the other. Within these the order stays.
func compareOrder(a, b rdrr.TensorSpec) int {
	routed := func(t rdrr.TensorSpec) int {
		if _, _, _, ok := rdrr.SplitExpertName(t.Name); ok {
			return 1
		}
		return 0
	}
	ra, rb := routed(a), routed(b)
	if ra != rb || ra == 0 {
		return ra - rb
	}
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Expert, b.Expert))
}

// list names the first few of many.
func list(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
