package gputest

import (
	"fmt"
	"math"

	"shoal/gpu"
	"shoal/shaders/ref"
)

func testActivate(s *suite) {
	for _, a := range []gpu.Activation{gpu.SiLU, gpu.GELUTanh, gpu.SwiGLUOAI} {
		for _, n := range []int{1, 63, 257, 5000} {
			gate, up := s.normal(n), s.normal(n)
			for i := range gate {
				gate[i], up[i] = gate[i]*4, up[i]*4
			}
			if n > 100 { // exp of these is 0 or infinite, and none may give NaN
				for i, v := range []float32{0, 7, -7, 20, -20, 88, -88, 90, -90, 200, -200, 3e4, -3e4} {
					gate[i], up[i+20] = v, v
				}
			}
			want := filled(n+1, untouched)
			ref.Activate(want, gate, up, n, ref.Activation(a))
			dst, g, v := s.output(n+1), s.floats(gate), s.floats(up)
			got := s.run(dst, func(p gpu.Pass) { p.Activate(dst, g, v, n, a) })
			s.near(fmt.Sprintf("activation %d, n=%d", a, n), got, want, func(i int) float64 {
				if i == n {
					return exact(i)
				}
				return activationBound(a, float64(gate[i]), float64(up[i]), math.Abs(float64(want[i])))
			})
			s.free()
		}
	}
}

// activationBound: a sigmoid's error and two or three products. For gelu, 1 + tanh cancels at negative gates, so that tanh's
// absolute error counts, times |g u| / 2; its argument, a cubic of six roundings, moves tanh by at most
// gamma(6) * max x (1 - tanh^2 x) < gamma(6) / 2. Where exp(-g) overflows in float32 (g < -88), the sigmoid may be 0.
func activationBound(a gpu.Activation, g, u, want float64) float64 {
	switch a {
	case gpu.GELUTanh:
		return math.Abs(g*u)/2*(tanhError+gamma(6)) + gamma(4)*want
	case gpu.SwiGLUOAI:
		g, u = min(g, 7), max(-7, min(u, 7))
		// u + 1 rounds once, relative to itself; 1.702 g moves the exponent by one rounding.
		return sigmoidBound(1.702*g)*math.Abs((u+1)*g) + gamma(4)*want
	default:
		return sigmoidBound(g)*math.Abs(g*u) + gamma(4)*want
	}
}

// sigmoidBound bounds the absolute error of sigmoid(x), whose argument has one rounding.
func sigmoidBound(x float64) float64 {
	value := 1 / (1 + math.Exp(-x))
	if x < -80 {
		return value
	}
	return value * (sigmoidError(x) + math.Abs(x)*gamma(1))
}
