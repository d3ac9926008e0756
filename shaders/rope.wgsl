// Rotates pairs of elements of every head in place.
//
//   (a, b) = (a cos - b sin, a sin + b cos)
//
// Pairs are (i, i + rotary/2), or (2i, 2i+1) if interleaved. A thread rotates one pair.
// #import grid
@group(0) @binding(0) var<storage, read_write> x: array<f32>;    // [rows, heads, head_dim], rows row_stride apart
@group(0) @binding(1) var<storage, read> angles: array<vec2<f32>>; // [rows, rotary/2]: cos, sin
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  rows: u32,
  heads: u32,
  head_dim: u32,
  offset: u32,     // of the rotated elements in a head
  half: u32,       // rotary/2
  row_stride: u32,
  interleaved: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups) * THREADS + t;
  let pair = g % p.half;
  let head = (g / p.half) % p.heads;
  let row = g / (p.half * p.heads);
  if (row >= p.rows) { return; }
  let base = row * p.row_stride + head * p.head_dim + p.offset;
  let first = base + select(pair, 2u * pair, p.interleaved != 0u);
  let second = base + select(pair + p.half, 2u * pair + 1u, p.interleaved != 0u);
  let angle = angles[row * p.half + pair];
  let a = x[first];
  let b = x[second];
  x[first] = fma(a, angle.x, -(b * angle.y));
  x[second] = fma(a, angle.y, b * angle.x);
}
