// Merges the chunks of attention.wgsl, in their order, for rows whose chunks were computed apart.
//
// A workgroup takes one head of one row, a thread some elements of it.
// #import grid
// #import element
@group(0) @binding(0) var<storage, read> parts: array<Element>;      // [rows, heads, chunks]: top, sum, value_dim elements
@group(0) @binding(1) var<storage, read> sinks: array<f32>;          // [heads], if has_sinks
@group(0) @binding(2) var<storage, read_write> dst: array<Element>;  // [rows, heads, value_dim]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 32u;
const LOWEST: f32 = -3.0e38;
const CHUNK: u32 = 128u; // that of attention.wgsl

struct Params {
  rows: u32,
  start: u32,
  heads: u32,
  value_dim: u32,
  window: u32,     // 0: none
  has_sinks: u32,
  chunks: u32,     // the most that a row has
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  if (g >= p.rows * p.heads) { return; }
  var seen = p.start + g / p.heads + 1u;
  if (p.window > 0u) { seen = min(seen, p.window); }
  let chunks = (seen + CHUNK - 1u) / CHUNK;
  let elements = p.value_dim / WIDTH;
  for (var c = t; c < elements; c += THREADS) {
    var all_top = LOWEST;
    var all_sum = 0.0;
    if (p.has_sinks != 0u) {
      all_top = sinks[g % p.heads];
      all_sum = 1.0;
    }
    var all = Element(0.0);
    for (var k = 0u; k < chunks; k++) {
      let at = (g * p.chunks + k) * (elements + 2u);
      let top = first(parts[at]);
      let sum = first(parts[at + 1u]);
      let v = parts[at + 2u + c];
      let next_top = max(all_top, top);
      let keep = exp(all_top - next_top);
      let join = exp(top - next_top);
      all = fma(v, Element(join), all * keep);
      all_sum = fma(sum, join, all_sum * keep);
      all_top = next_top;
    }
    dst[g * elements + c] = all / all_sum;
  }
}
