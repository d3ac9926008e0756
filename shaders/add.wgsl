// Adds one buffer to another.
//
//   x[i] += y[i]
//
// A thread computes one element.
// #import grid
@group(0) @binding(0) var<storage, read_write> x: array<f32>;  // [n]
@group(0) @binding(1) var<storage, read> y: array<f32>;        // [n]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group_number(group, groups) * THREADS + t;
  if (i < p.n) { x[i] += y[i]; }
}
