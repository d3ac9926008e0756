// Adds rows gated by one score each: the shared expert of Qwen2-MoE.
//
//   x[i, c] += sigmoid(gate[i]) * y[i, c]
//
// A thread computes one element.
// #import grid
@group(0) @binding(0) var<storage, read_write> x: array<f32>;  // [n, width]
@group(0) @binding(1) var<storage, read> y: array<f32>;        // [n, width]
@group(0) @binding(2) var<storage, read> gate: array<f32>;     // [n]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
  width: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups) * THREADS + t;
  if (g >= p.n * p.width) { return; }
  x[g] = fma(1.0 / (1.0 + exp(-gate[g / p.width])), y[g], x[g]);
}
