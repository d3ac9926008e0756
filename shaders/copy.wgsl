// Copies rows between strided places, bit by bit, whatever the elements are.
//
//   dst[d_offset + i*d_stride + c] = src[s_offset + i*s_stride + c]
//
// A thread copies one element.
// #import grid
@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  rows: u32,
  width: u32,
  s_offset: u32,
  s_stride: u32,
  d_offset: u32,
  d_stride: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups) * THREADS + t;
  if (g >= p.rows * p.width) { return; }
  let i = g / p.width;
  let c = g % p.width;
  dst[p.d_offset + i * p.d_stride + c] = src[p.s_offset + i * p.s_stride + c];
}
