// Gives queries and keys of a joint projection their norm and rotation, and takes keys and values to the cache.
//
//   q[i, h]               = rotate(norm(x[i, h]))                       for h < heads
//   keys[start+i, h]      = rotate(norm(x[i, heads + h]))               for h < kv_heads
//   values[start+i, h]    = x[i, heads + kv_heads + h]
//
// A workgroup takes one head of one row.
// #import grid
// #import sum
@group(0) @binding(0) var<storage, read> x: array<f32>;             // [rows, heads + 2*kv_heads, head_dim]
@group(0) @binding(1) var<storage, read> q_norm: array<f32>;        // [head_dim], if has_norm
@group(0) @binding(2) var<storage, read> k_norm: array<f32>;        // [head_dim], if has_norm
@group(0) @binding(3) var<storage, read> angles: array<vec2<f32>>;  // [rows, half]: cos, sin
@group(0) @binding(4) var<storage, read_write> q: array<f32>;       // [rows, heads, head_dim]
@group(0) @binding(5) var<storage, read_write> keys: array<f32>;    // [positions, kv_heads, head_dim]
@group(0) @binding(6) var<storage, read_write> values: array<f32>;  // [positions, kv_heads, head_dim]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;
const LIMIT: u32 = 1024u; // head_dim <= LIMIT

struct Params {
  rows: u32,
  start: u32,
  heads: u32,
  kv_heads: u32,
  head_dim: u32,
  half: u32,         // rotated pairs of a head
  interleaved: u32,
  has_norm: u32,
  eps: f32,
}

var<workgroup> head: array<f32, LIMIT>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let all = p.heads + 2u * p.kv_heads;
  let i = g / all;
  let h = g % all;
  if (i >= p.rows) { return; }
  let base = g * p.head_dim;
  if (h >= p.heads + p.kv_heads) {
    let to = ((p.start + i) * p.kv_heads + h - p.heads - p.kv_heads) * p.head_dim;
    for (var c = t; c < p.head_dim; c += THREADS) { values[to + c] = x[base + c]; }
    return;
  }
  let query = h < p.heads;
  var scale = 1.0;
  if (p.has_norm != 0u) {
    var squares = 0.0;
    for (var c = t; c < p.head_dim; c += THREADS) { squares = fma(x[base + c], x[base + c], squares); }
    scale = inverseSqrt(workgroup_sum(t, squares) / f32(p.head_dim) + p.eps);
  }
  for (var c = t; c < p.head_dim; c += THREADS) {
    var v = x[base + c];
    if (p.has_norm != 0u) {
      var weight = 0.0;
      if (query) { weight = q_norm[c]; } else { weight = k_norm[c]; }
      v = v * scale * weight;
    }
    head[c] = v;
  }
  workgroupBarrier();
  for (var c = t; c < p.head_dim; c += THREADS) {
    var v = head[c];
    if (c < 2u * p.half) {
      var pair = c % p.half;
      var second = c >= p.half;
      if (p.interleaved != 0u) {
        pair = c / 2u;
        second = c % 2u == 1u;
      }
      let angle = angles[i * p.half + pair];
      var other = 0u;
      if (p.interleaved != 0u) { other = c ^ 1u; } else { other = select(c + p.half, c - p.half, second); }
      let w = head[other];
      v = select(fma(v, angle.x, -(w * angle.y)), fma(w, angle.y, v * angle.x), second);
    }
    if (query) {
      q[(i * p.heads + h) * p.head_dim + c] = v;
    } else {
      keys[((p.start + i) * p.kv_heads + h - p.heads) * p.head_dim + c] = v;
    }
  }
}
