// Normalises rows by their root mean square.
//
//   dst = x / sqrt(mean(x^2) + eps) * weight
//
// A workgroup computes one row.
// #import grid
// #import sum
@group(0) @binding(0) var<storage, read> x: array<f32>;          // row i starts at x_offset + i*x_stride
@group(0) @binding(1) var<storage, read> weight: array<f32>;     // [width]
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;  // row i starts at d_offset + i*d_stride
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 256u;

struct Params {
  rows: u32,
  width: u32,
  x_offset: u32,
  x_stride: u32,
  d_offset: u32,
  d_stride: u32,
  eps: f32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group_number(group, groups);
  if (i >= p.rows) { return; }
  let begin = p.x_offset + i * p.x_stride;
  let to = p.d_offset + i * p.d_stride;
  var squares = 0.0;
  for (var c = t; c < p.width; c += THREADS) { squares = fma(x[begin + c], x[begin + c], squares); }
  let scale = inverseSqrt(workgroup_sum(t, squares) / f32(p.width) + p.eps);
  for (var c = t; c < p.width; c += THREADS) { dst[to + c] = x[begin + c] * scale * weight[c]; }
}
