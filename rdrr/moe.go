package rdrr

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// wireMoE is moeConfig with the fields of every writer. Ours are those of [MoE]; the others name shards and tensors.
type wireMoE struct {
	Layers         []int           `json:"layers"`
	Experts        int             `json:"numExperts"`
	TopK           int             `json:"numExpertsPerToken"`
	Hidden         int             `json:"hiddenSize"`
	Intermediate   int             `json:"expertIntermediateSize"`
	Activation     string          `json:"activation"`
	Bias           *bool           `json:"bias"`
	ExpertShardMap json.RawMessage `json:"expertShardMap"` // "L_E" -> [shard] or shard
	ExpertTensors  json.RawMessage `json:"expertTensors"`  // "L_E" -> [name]
}

// findExperts derives the experts from the tensors' names and shapes, and checks that every layer that has experts has all of
// them, whole and alike. What moeConfig says must agree; what it leaves out is filled in from the tensors and the configuration.
func (m *Manifest) findExperts(raw json.RawMessage) error {
	var w wireMoE
	if isPresent(raw) {
		if err := json.Unmarshal(raw, &w); err != nil {
			return fmt.Errorf("moeConfig: %w", err)
		}
	}
	found, err := m.moeOfTensors()
	if err != nil {
		return err
	}
	if found == nil {
		if isPresent(raw) {
			return errors.New("moeConfig is there, but no tensor belongs to an expert")
		}
		return nil
	}
	found.TopK, found.Activation = moeOfConfig(m.Config)
	if err := w.agree(found); err != nil {
		return fmt.Errorf("moeConfig: %w", err)
	}
	m.MoE = found
	return nil
}

func (m *Manifest) moeOfTensors() (*MoE, error) {
	parts := map[expertKey]map[ExpertPart]TensorEntry{}
	m.experts = map[expertKey][]int{}
	moe := &MoE{}
	layers := map[int]bool{}
	for _, t := range m.Tensors {
		layer, expert, part, ok := SplitExpertName(t.Name)
		if !ok {
			continue
		}
		key := expertKey{layer, expert}
		if parts[key] == nil {
			parts[key] = map[ExpertPart]TensorEntry{}
		}
		parts[key][part] = t
		for _, s := range t.Spans {
			if !slices.Contains(m.experts[key], s.Shard) {
				m.experts[key] = append(m.experts[key], s.Shard)
			}
		}
		layers[layer] = true
		moe.Experts = max(moe.Experts, expert+1)
		switch part {
		case GateWeight:
			moe.Intermediate, moe.Hidden = t.Shape[0], t.Shape[len(t.Shape)-1]
		case GateBias:
			moe.Bias = true
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	moe.Layers = slices.Sorted(maps.Keys(layers))
	for _, layer := range moe.Layers {
		for expert := range moe.Experts {
			key := expertKey{layer, expert}
			slices.Sort(m.experts[key])
			if err := moe.checkExpert(parts[key]); err != nil {
				return nil, fmt.Errorf("layer %d expert %d: %w", layer, expert, err)
			}
		}
	}
	return moe, nil
}

// checkExpert tells whether an expert has the tensors and shapes that every expert of the model has.
func (moe *MoE) checkExpert(parts map[ExpertPart]TensorEntry) error {
	for _, part := range expertParts {
		t, ok := parts[part]
		bias := strings.HasSuffix(string(part), ".bias")
		switch want := part.shape(moe.Hidden, moe.Intermediate); {
		case !ok && bias && !moe.Bias:
		case !ok:
			return fmt.Errorf("has no %s", part)
		case bias && !moe.Bias:
			return fmt.Errorf("has a %s, other experts have none", part)
		case !slices.Equal(t.Shape, want):
			return fmt.Errorf("%s has shape %v, want %v", part, t.Shape, want)
		}
	}
	return nil
}

// moeOfConfig finds top-k and activation in a hub-style configuration, under the names that the families use.
func moeOfConfig(config json.RawMessage) (topK int, activation string) {
	var c struct {
		ModelType        string          `json:"model_type"`
		PerTok           int             `json:"num_experts_per_tok"`
		PerToken         int             `json:"experts_per_token"`
		ExpertUsedCount  int             `json:"expertUsedCount"` // from GGUF metadata
		HiddenAct        string          `json:"hidden_act"`
		HiddenActivation string          `json:"hidden_activation"`
		Text             json.RawMessage `json:"text_config"`
	}
	if json.Unmarshal(config, &c) != nil {
		return 0, ""
	}
	if isObject(c.Text) && c.PerTok == 0 {
		return moeOfConfig(c.Text)
	}
	for _, k := range []int{c.PerTok, c.PerToken, c.ExpertUsedCount} {
		if topK == 0 {
			topK = k
		}
	}
	switch act := first(c.HiddenAct, c.HiddenActivation); {
	case c.ModelType == "gpt_oss":
		activation = "swiglu_oai"
	case act == "gelu_pytorch_tanh":
		activation = "gelu_tanh"
	case act == "silu" || act == "":
		activation = "silu"
	default:
		activation = act
	}
	return topK, activation
}

// agree compares what moeConfig says with what was found, and takes over what only moeConfig knows.
func (w wireMoE) agree(found *MoE) error {
	for _, c := range []struct {
		field       string
		said, found int
	}{
		{"numExperts", w.Experts, found.Experts},
		{"hiddenSize", w.Hidden, found.Hidden},
		{"expertIntermediateSize", w.Intermediate, found.Intermediate},
	} {
		if c.said != 0 && c.said != c.found {
			return fmt.Errorf("%s is %d, the expert tensors give %d", c.field, c.said, c.found)
		}
	}
	if w.Layers != nil && !slices.Equal(w.Layers, found.Layers) {
		return fmt.Errorf("layers are %v, the expert tensors are in %v", w.Layers, found.Layers)
	}
	if w.Bias != nil && *w.Bias != found.Bias {
		return fmt.Errorf("bias is %v, the expert tensors say %v", *w.Bias, found.Bias)
	}
	if w.TopK != 0 {
		found.TopK = w.TopK
	}
	found.Activation = first(w.Activation, found.Activation)
	return found.Validate()
}

// Validate reports the first thing wrong with the description.
func (moe *MoE) Validate() error {
	switch {
	case moe.Experts < 1 || moe.Experts > maxExperts:
		return fmt.Errorf("numExperts is %d, want 1 to %d", moe.Experts, maxExperts)
	case moe.TopK < 1 || moe.TopK > moe.Experts:
		return fmt.Errorf("numExpertsPerToken is %d, want 1 to %d", moe.TopK, moe.Experts)
	case moe.Hidden < 1 || moe.Intermediate < 1:
		return fmt.Errorf("hiddenSize is %d, expertIntermediateSize %d", moe.Hidden, moe.Intermediate)
	case len(moe.Layers) == 0 || len(moe.Layers) > maxLayers:
		return fmt.Errorf("%d layers, want 1 to %d", len(moe.Layers), maxLayers)
	case !slices.Contains([]string{"silu", "gelu_tanh", "swiglu_oai"}, moe.Activation):
		return fmt.Errorf("activation is %q, want silu, gelu_tanh or swiglu_oai", moe.Activation)
	}
	for i, l := range moe.Layers {
		if l < 0 || i > 0 && l <= moe.Layers[i-1] {
			return fmt.Errorf("layers %v are not ascending", moe.Layers)
		}
	}
	return nil
}
