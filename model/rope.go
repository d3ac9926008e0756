package model

import (
	"math"
	"strings"
)

// Rope is a rotary position encoding (Su et al. 2021): element pairs of a head are rotated by position * frequency.
type Rope struct {
	Kind        string  // "default", "linear", "llama3" or "yarn"
	Base        float64 // theta
	Dim         int     // elements of a head that are rotated, even
	Interleaved bool    // pairs are (2i, 2i+1) rather than (i, i + Dim/2)

	Factor               float64 // context extension, > 0; all kinds but default
	Original             int     // positions of the pretrained model (llama3, yarn)
	LowFreq, HighFreq    float64 // llama3
	BetaFast, BetaSlow   float64 // yarn
	Truncate             bool    // yarn: the ramp's ends are rounded to whole dimensions
	MScale, MScaleAllDim float64 // yarn, DeepSeek's; 0 if not given
	// Amplitude multiplies cos and sin (yarn's attention factor), 1 otherwise.
	Amplitude float64
}

var ropeKinds = []string{"default", "linear", "llama3", "yarn"}

// rope reads a position encoding in either of the forms that configs have: rope_theta beside a rope_scaling object, or one
// rope_parameters object that holds both. headDim is the width of what is rotated, before a partial_rotary_factor.
func (f *fields) rope(theta float64, headDim int, interleaved bool) Rope {
	params := f.object("rope_parameters")
	scaling := f.object("rope_scaling")
	if params != nil && scaling != nil {
		f.fail("%srope_parameters and %srope_scaling are both given", f.path, f.path)
	}
	if params == nil {
		params = scaling
	}
	theta = f.positive("rope_theta", theta)
	partial := f.float("partial_rotary_factor", 1)
	return f.ropeFrom(params, theta, partial, headDim, interleaved)
}

// ropeFrom reads the object p, which may be nil; theta and partial are what the level above says.
func (f *fields) ropeFrom(p *fields, theta, partial float64, headDim int, interleaved bool) Rope {
	r := Rope{Kind: "default", Base: theta, Interleaved: interleaved, Factor: 1, Amplitude: 1}
	if p != nil {
		r.Kind = p.string("rope_type", p.string("type", "default"))
		r.Base = p.positive("rope_theta", theta)
		partial = p.float("partial_rotary_factor", partial)
		p.readScaling(&r, f.size("max_position_embeddings", maxPositions, maxPositions))
		p.finish()
	}
	r.Dim = int(float64(headDim) * partial)
	if partial <= 0 || partial > 1 || r.Dim < 2 || r.Dim%2 != 0 {
		f.fail("%srotary dimensions: %v of a head of %d is not an even number from 2 to %d", f.path, partial, headDim, headDim)
		r.Dim = 2
	}
	return r
}

// readScaling reads what the kind of encoding needs. Fields of the other kinds are passed over, as their programs do.
func (p *fields) readScaling(r *Rope, positions int) {
	known := false
	for _, k := range ropeKinds {
		known = known || k == r.Kind
	}
	if !known {
		p.fail("%srope_type is %q, which is not supported: want %s", p.path, r.Kind, strings.Join(ropeKinds, ", "))
	}
	r.LowFreq, r.HighFreq = p.float("low_freq_factor", 1), p.float("high_freq_factor", 4)
	r.BetaFast, r.BetaSlow = p.positive("beta_fast", 32), p.positive("beta_slow", 1)
	r.Truncate = p.bool("truncate", true)
	r.MScale, r.MScaleAllDim = p.float("mscale", 0), p.float("mscale_all_dim", 0)
	r.Original = p.size("original_max_position_embeddings", positions, maxPositions)
	factor := 1.0
	switch {
	case p.has("factor"):
		factor = p.positive("factor", 1)
	case r.Kind == "yarn":
		factor = float64(positions) / float64(r.Original)
	case r.Kind != "default":
		p.fail("%sfactor is missing for rope_type %q", p.path, r.Kind)
	}
	amplitude := p.float("attention_factor", 0)
	if r.Kind == "default" {
		return
	}
	r.Factor = factor
	switch r.Kind {
	case "llama3":
		if r.LowFreq <= 0 || r.HighFreq <= r.LowFreq {
			p.fail("%slow_freq_factor %v and high_freq_factor %v: want 0 < low < high", p.path, r.LowFreq, r.HighFreq)
		}
	case "yarn":
		r.Amplitude = yarnScale(factor, 1)
		if r.MScale != 0 && r.MScaleAllDim != 0 {
			r.Amplitude = yarnScale(factor, r.MScale) / yarnScale(factor, r.MScaleAllDim)
		}
		if amplitude != 0 {
			r.Amplitude = amplitude
		}
	}
}

// yarnScale is YaRN's temperature for a context extended by factor (Peng et al. 2023, section 3.4), weighted by m.
func yarnScale(factor, m float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*m*math.Log(factor) + 1
}

// Frequencies returns the angle per position of each of the Dim/2 pairs.
func (r Rope) Frequencies() []float64 {
	out := make([]float64, r.Dim/2)
	for i := range out {
		out[i] = math.Pow(r.Base, -float64(2*i)/float64(r.Dim))
	}
	switch r.Kind {
	case "linear":
		for i := range out {
			out[i] /= r.Factor
		}
	case "llama3":
		r.llama3(out)
	case "yarn":
		r.yarn(out)
	}
	return out
}

// llama3 slows down the pairs whose wavelength exceeds the pretrained context, leaves the fast ones, and blends between.
func (r Rope) llama3(freq []float64) {
	for i, w := range freq {
		turns := float64(r.Original) * w / (2 * math.Pi) // within the pretrained context
		switch {
		case turns < r.LowFreq:
			freq[i] = w / r.Factor
		case turns <= r.HighFreq:
			blend := (turns - r.LowFreq) / (r.HighFreq - r.LowFreq)
			freq[i] = (1-blend)*w/r.Factor + blend*w
		}
	}
}

// yarn interpolates the pairs that turn less than BetaSlow times within the pretrained context, leaves those that turn more
// than BetaFast times, and ramps linearly over the pairs between (Peng et al. 2023, section 3.2).
func (r Rope) yarn(freq []float64) {
	pair := func(turns float64) float64 {
		return float64(r.Dim) * math.Log(float64(r.Original)/(turns*2*math.Pi)) / (2 * math.Log(r.Base))
	}
	low, high := pair(r.BetaFast), pair(r.BetaSlow)
	if r.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(r.Dim-1))
	if low == high {
		high += 0.001
	}
	for i, w := range freq {
		ramp := min(max((float64(i)-low)/(high-low), 0), 1)
		freq[i] = w/r.Factor*ramp + w*(1-ramp)
	}
}

// angles fills dst [rows, len(freq), 2] with amplitude * (cos, sin) for consecutive positions from start on.
func angles(dst []float32, freq []float64, amplitude float64, start int) {
	for i := range dst[:len(dst)/2] {
		row, pair := i/len(freq), i%len(freq)
		sin, cos := math.Sincos(float64(start+row) * freq[pair])
		dst[2*i], dst[2*i+1] = float32(cos*amplitude), float32(sin*amplitude)
	}
}
