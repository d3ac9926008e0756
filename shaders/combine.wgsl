// Adds the experts' outputs to the residual stream, weighted, in slot order.
//
//   x[i, c] += weights[i, j] * y[i, j, c]    for j = 0 .. k-1
//
// A thread computes one element of x.
// #import grid
@group(0) @binding(0) var<storage, read_write> x: array<f32>;  // [n, width]
@group(0) @binding(1) var<storage, read> y: array<f32>;        // [n, k, width]
@group(0) @binding(2) var<storage, read> weights: array<f32>;  // [n, k]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
  k: u32,
  width: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups) * THREADS + t;
  if (g >= p.n * p.width) { return; }
  let i = g / p.width;
  let c = g % p.width;
  var v = x[g];
  for (var j = 0u; j < p.k; j++) { v = fma(weights[i * p.k + j], y[(i * p.k + j) * p.width + c], v); }
  x[g] = v;
}
