package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// scaling makes the rope_scaling object for heads of which dim elements rotate, nil if the encoding is plain.
func (g *ggufModel) scaling(dim int) map[string]any {
	k := g.keys
	if g.has("rope_freqs.weight") {
		s, err := g.llama3Scaling(k.intOr("rope.dimension_count", dim))
		if err != nil {
			k.fail(fmt.Errorf("tensor rope_freqs.weight: %w", err))
		}
		return s
	}
	kind := k.stringOr("rope.scaling.type", "")
	if kind == "" && k.has("rope.scale_linear") && k.value("rope.scale_linear") != 1 {
		return map[string]any{"rope_type": "linear", "factor": k.float("rope.scale_linear")}
	}
	if kind == "" || kind == "none" {
		k.has("rope.scaling.factor")
		k.has("rope.scaling.original_context_length")
		k.has("rope.scaling.attn_factor")
		return nil
	}
	s := map[string]any{"rope_type": kind, "factor": k.floatOr("rope.scaling.factor", "1")}
	original := k.intOr("rope.scaling.original_context_length", k.int("context_length"))
	if kind != "yarn" {
		return s
	}
	s["original_max_position_embeddings"] = original
	s["beta_fast"] = k.floatOr("rope.scaling.yarn_beta_fast", "32")
	s["beta_slow"] = k.floatOr("rope.scaling.yarn_beta_slow", "1")
	s["truncate"] = k.boolOr("rope.scaling.yarn_truncate", k.prefix != "gpt-oss.")
	k.only("rope.scaling.yarn_ext_factor", 1)
	for _, key := range []string{"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"} {
		if k.has(key) && k.value(key) != 1 {
			factor, _ := s["factor"].(json.Number).Float64()
			s["attention_factor"] = k.value(key) * (0.1*math.Log(factor) + 1)
		}
	}
	return s
}

// latentScaling adds what YaRN does to latent attention: the scores are multiplied by the square of 1 + 0.1 m ln(factor), where
// the file has 0.1 m, and the rotation keeps its amplitude.
func (g *ggufModel) latentScaling(s map[string]any) {
	const key = "rope.scaling.yarn_log_multiplier"
	if s["rope_type"] != "yarn" {
		return
	}
	if !g.keys.has(key) || g.keys.value(key) == 0 {
		s["attention_factor"] = 1
		return
	}
	m := shortest(float32(g.keys.value(key) / 0.1))
	s["mscale"], s["mscale_all_dim"] = m, m
}

func shortest(v float32) json.Number {
	return json.Number(strconv.FormatFloat(float64(v), 'g', 6, 32))
}

// pretrained is the context that the recovered llama3 scaling is stated for. Only the ratio of the bounds to it counts, and
// every published model has this one with bounds of 1 and 4.
const pretrained = 8192

// llama3Scaling recovers the scaling from the factors by which the file slows each pair of elements down: 1 for the fast pairs,
// the model's factor for the slow ones, and between the bounds 1 / ((1-s)/factor + s) with s rising linearly with the
// frequency.
func (g *ggufModel) llama3Scaling(dim int) (map[string]any, error) {
	t, err := g.tensor("rope_freqs.weight")
	if err != nil {
		return nil, err
	}
	slowed, err := t.floats()
	if err != nil {
		return nil, err
	}
	if len(slowed) != dim/2 || len(slowed) == 0 {
		return nil, fmt.Errorf("has %d factors for %d rotated elements", len(slowed), dim)
	}
	base := g.keys.value("rope.freq_base")
	turns := make([]float64, len(slowed)) // within the pretrained context
	factor := 1.0
	for i, f := range slowed {
		turns[i] = pretrained / (2 * math.Pi) * math.Pow(base, -2*float64(i)/float64(dim))
		factor = max(factor, float64(f))
	}
	if factor == 1 {
		return nil, nil
	}
	low, high := 1.0, 4.0
	if !explains(slowed, turns, factor, low, high) {
		low, high = bounds(slowed, turns, factor)
	}
	if !explains(slowed, turns, factor, low, high) {
		return nil, errors.New("the factors are not those of a llama3 scaling, and no other is supported")
	}
	return map[string]any{
		"rope_type": "llama3", "factor": shortestOf(factor), "low_freq_factor": low, "high_freq_factor": high,
		"original_max_position_embeddings": pretrained,
	}, nil
}

func shortestOf(v float64) json.Number { return json.Number(strconv.FormatFloat(v, 'g', -1, 32)) }

// blend is how much of its own frequency a pair keeps.
func blend(turns, low, high float64) float64 {
	return min(max((turns-low)/(high-low), 0), 1)
}

func explains(slowed []float32, turns []float64, factor, low, high float64) bool {
	if !(low > 0 && high > low) {
		return false
	}
	for i, t := range turns {
		s := blend(t, low, high)
		want := 1 / ((1-s)/factor + s)
		if math.Abs(float64(slowed[i])-want) > 1e-4*want {
			return false
		}
	}
	return true
}

// bounds finds low and high from the pairs between them: the line through the first and the last such pair. With one such
// pair many bounds say the same, and with none those anywhere between the fast and the slow pairs do.
func bounds(slowed []float32, turns []float64, factor float64) (low, high float64) {
	first, last := -1, -1 // pairs that are blended
	fast := 0             // pairs that keep their frequency
	kept := make([]float64, len(turns))
	for i, f := range slowed {
		kept[i] = (1/float64(f) - 1/factor) / (1 - 1/factor)
		switch {
		case kept[i] > 1-1e-5:
			fast = i + 1
		case kept[i] > 1e-5:
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	slow := max(last+1, fast)
	above, below := 2*turns[0], turns[len(turns)-1]/2 // the nearest pairs outside, or beyond the ends
	if fast > 0 {
		above = turns[fast-1]
	}
	if slow < len(turns) {
		below = turns[slow]
	}
	switch {
	case first < 0:
		low = below + (above-below)/3
		return low, below + (above-below)*2/3
	case first == last:
		s := kept[first]
		step := min((turns[first]-below)/2, s/(1-s)*(above-turns[first])/2)
		low = turns[first] - step
		return low, low + step/s
	}
	rise := (kept[first] - kept[last]) / (turns[first] - turns[last])
	low = turns[last] - kept[last]/rise
	return low, low + 1/rise
}
