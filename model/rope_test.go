package model

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func published(t *testing.T, name string) *Spec {
	t.Helper()
	return parse(t, readConfig(t, "testdata/configs/"+name+".json"))
}

func TestRopeOfPublishedModels(t *testing.T) {
	for _, c := range []struct {
		name      string
		rope      int
		kind      string
		dim       int
		base      float64
		amplitude float64
		first     float64 // frequency of the fastest pair
		last      float64 // of the slowest
	}{
		{"qwen3-30b-a3b", 0, "default", 128, 1e6, 1, 1, math.Pow(1e6, -126.0/128)},
		{"llama-3.1-8b", 0, "llama3", 128, 5e5, 1, 1, math.Pow(5e5, -126.0/128) / 8},
		{"llama-3.2-1b", 0, "llama3", 64, 5e5, 1, 1, math.Pow(5e5, -62.0/64) / 32},
		{"gpt-oss-20b", 0, "yarn", 64, 150000, 0.1*math.Log(32) + 1, 1, math.Pow(150000, -62.0/64) / 32},
		{"kimi-k2", 0, "yarn", 64, 50000, 1, 1, math.Pow(50000, -62.0/64) / 32},
		{"gemma-3-4b", gemmaGlobal, "linear", 256, 1e6, 1, 1.0 / 8, math.Pow(1e6, -254.0/256) / 8},
		{"gemma-3-4b", gemmaLocal, "default", 256, 1e4, 1, 1, math.Pow(1e4, -254.0/256)},
		{"gemma-3-1b", gemmaGlobal, "default", 256, 1e6, 1, 1, math.Pow(1e6, -254.0/256)},
		{"gemma-3-1b", gemmaLocal, "default", 256, 1e4, 1, 1, math.Pow(1e4, -254.0/256)},
	} {
		r := published(t, c.name).Ropes[c.rope]
		if r.Kind != c.kind || r.Dim != c.dim || r.Base != c.base || math.Abs(r.Amplitude-c.amplitude) > 1e-12 {
			t.Errorf("%s: %+v", c.name, r)
		}
		f := r.Frequencies()
		if math.Abs(f[0]/c.first-1) > 1e-12 || math.Abs(f[len(f)-1]/c.last-1) > 1e-12 {
			t.Errorf("%s: frequencies from %g to %g, want %g to %g", c.name, f[0], f[len(f)-1], c.first, c.last)
		}
		for i := 1; i < len(f); i++ {
			if f[i] >= f[i-1] {
				t.Errorf("%s: frequency %d is not below the one before", c.name, i)
			}
		}
	}
}

// TestYarnScale: DeepSeek's models put the temperature into the softmax scale when mscale_all_dim says so.
func TestYarnScale(t *testing.T) {
	s := published(t, "kimi-k2")
	m := 0.1*math.Log(32) + 1
	want := m * m / math.Sqrt(192)
	if got := float64(s.Layers[0].MLA.Scale); math.Abs(got/want-1) > 1e-6 {
		t.Errorf("scale %g, want %g", got, want)
	}
}

// TestRopeInBothForms writes the same encoding beside rope_theta and nested in rope_parameters.
func TestRopeInBothForms(t *testing.T) {
	scaling := change{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, "beta_fast": 16, "truncate": false}
	nested := change{"rope_theta": 12345.0}
	for k, v := range scaling {
		nested[k] = v
	}
	older := parse(t, edit(t, "qwen3-30b-a3b", change{"rope_theta": 12345.0, "rope_scaling": scaling}))
	newer := parse(t, edit(t, "qwen3-30b-a3b", change{"rope_theta": nil, "rope_scaling": nil, "rope_parameters": nested}))
	if diff := cmp.Diff(older.Ropes, newer.Ropes); diff != "" {
		t.Errorf("(-older +newer):\n%s", diff)
	}
	if older.Ropes[0].BetaFast != 16 || older.Ropes[0].BetaSlow != 1 || older.Ropes[0].Truncate {
		t.Errorf("rope %+v", older.Ropes[0])
	}
}

func TestGemmaRopeInBothForms(t *testing.T) {
	older := published(t, "gemma-3-4b")
	text := change{
		"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024,
		"rope_parameters": change{
			"full_attention":    change{"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
			"sliding_attention": change{"rope_type": "default", "rope_theta": 1e4},
		},
	}
	newer := parse(t, edit(t, "gemma-3-4b", change{"text_config": text}))
	// the kinds without those fields keep their defaults; only what decides the angles must agree
	for i := range older.Ropes {
		if diff := cmp.Diff(older.Ropes[i].Frequencies(), newer.Ropes[i].Frequencies()); diff != "" {
			t.Errorf("rope %d (-older +newer):\n%s", i, diff)
		}
	}
}

func TestPartialRotation(t *testing.T) {
	config := func(factor any) json.RawMessage {
		return edit(t, "llama-3.1-8b", change{"partial_rotary_factor": factor})
	}
	if got := parse(t, config(0.5)).Ropes[0].Dim; got != 64 {
		t.Errorf("half of a head of 128: %d elements", got)
	}
	for _, bad := range []float64{0, -1, 2, 0.001} {
		if _, err := Parse(config(bad)); err == nil {
			t.Errorf("factor %v: no error", bad)
		}
	}
}

func TestAngles(t *testing.T) {
	got := make([]float32, 2*2*2)
	angles(got, []float64{1, 0.25}, 2, 3)
	for row := range 2 {
		for pair, f := range []float64{1, 0.25} {
			a := float64(3+row) * f
			c, s := got[row*4+pair*2], got[row*4+pair*2+1]
			if c != float32(2*math.Cos(a)) || s != float32(2*math.Sin(a)) {
				t.Errorf("row %d pair %d: %v, %v", row, pair, c, s)
			}
		}
	}
}
