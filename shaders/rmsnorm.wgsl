// Normalises rows by their root mean square.
//
//   dst = x / sqrt(mean(x^2) + eps) * weight
//
// A workgroup computes one row, a thread four elements at a time.
// #import grid
// #import x
// #import sum
@group(0) @binding(0) var<storage, read> x: array<X>;            // row i starts at x_offset + i*x_stride
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
  for (var q = t; q * 4u < p.width; q += THREADS) {
    let v = x_at(begin, q, p.width);
    squares = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares))));
  }
  let scale = inverseSqrt(workgroup_sum(t, squares) / f32(p.width) + p.eps);
  for (var q = t; q * 4u < p.width; q += THREADS) {
    let v = x_at(begin, q, p.width) * scale;
    for (var k = 0u; k < 4u; k++) {
      let c = q * 4u + k;
      if (c < p.width) { dst[to + c] = v[k] * weight[c]; }
    }
  }
}
