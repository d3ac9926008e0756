package cpu

import "math"

// The methods of kernels do what their loops in Go say, with vector instructions where they have them.

// addScaled adds w * x to dst.
func (k *kernels) addScaled8(dst, x []float32, w float32) {
	if k != nil && len(dst) >= 8 {
		groups := len(dst) / 8
		k.addScaled(&dst[0], first(x, 0), w, groups)
		dst, x = dst[8*groups:], x[8*groups:]
	}
	for i := range dst {
		dst[i] += float32(w * x[i])
	}
}

// scaleAll multiplies x with w.
func (k *kernels) scaleAll(x []float32, w float32) {
	if k != nil && len(x) >= 8 {
		groups := len(x) / 8
		k.scale(&x[0], w, groups)
		x = x[8*groups:]
	}
	for i := range x {
		x[i] *= w
	}
}

// scaleRow writes (x * w) * weights to dst.
func (k *kernels) scaleRow(dst, x, weights []float32, w float32) {
	if k != nil && len(dst) >= 8 {
		groups := len(dst) / 8
		k.scaleEach(&dst[0], first(x, 0), first(weights, 0), w, groups)
		dst, x, weights = dst[8*groups:], x[8*groups:], weights[8*groups:]
	}
	for i := range dst {
		dst[i] = x[i] * w * weights[i]
	}
}

// top returns the largest element.
func (k *kernels) top(x []float32) float32 {
	top := float32(math.Inf(-1))
	if k != nil && len(x) >= 8 {
		groups := len(x) / 8
		top = k.largest(&x[0], groups)
		x = x[8*groups:]
	}
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// meanSquare returns the mean of (v - mean)^2. Element c is added to sum c mod 4.
func (k *kernels) meanSquare(row []float32, mean float64) float64 {
	n := float64(len(row))
	var a [4]float64
	if k != nil && len(row) >= 4 {
		quads := len(row) / 4
		k.squares(&a, &row[0], mean, quads)
		row = row[4*quads:]
	}
	for len(row) >= 4 {
		for i := range 4 {
			v := float64(row[i]) - mean
			a[i] += float64(v * v)
		}
		row = row[4:]
	}
	for i, v := range row {
		a[i] += float64((float64(v) - mean) * (float64(v) - mean))
	}
	return ((a[0] + a[2]) + (a[1] + a[3])) / n
}
