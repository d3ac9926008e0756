// Package ref computes every kernel again in plain, slow Go: NAME.go here is the twin of shaders/NAME.wgsl. It says what a
// kernel means, and it is what devices are compared with (gpu/gputest).
//
// Weights arrive decoded, [rows, cols] row-major, padding left out; sums are taken in float64 in index order and rounded to
// float32 once, so that a result is the true one to about half a unit in the last place. Nothing is checked beyond what
// indexing a slice checks, and nothing is fast: a device validates its arguments itself (gpu.Check functions).
//
// The shape structs have the fields of their namesakes in package gpu, so that one converts to the other.
package ref
