package ref

import "math"

// Activation is the nonlinearity of a gated FFN. The numbers are those of gpu.Activation.
type Activation uint8

// Activations.
const (
	SiLU      Activation = iota // g * sigmoid(g) * u (Shazeer 2020)
	GELUTanh                    // g/2 * (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) * u (Hendrycks and Gimpel 2016)
	SwiGLUOAI                   // g = min(g, 7), u = clamp(u, -7, 7): (u + 1) * g * sigmoid(1.702 g) (GPT-OSS)
)

// Activate writes dst[i] = act(gate[i], up[i]) for i < n.
func Activate(dst, gate, up []float32, n int, a Activation) {
	for i := range n {
		g, u := float64(gate[i]), float64(up[i])
		switch a {
		case SiLU:
			dst[i] = float32(g * sigmoid(g) * u)
		case GELUTanh:
			dst[i] = float32(g / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(g+0.044715*g*g*g))) * u)
		case SwiGLUOAI:
			g, u = min(g, 7), max(-7, min(u, 7))
			dst[i] = float32((u + 1) * g * sigmoid(1.702*g))
		}
	}
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
