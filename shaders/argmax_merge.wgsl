// Finds the largest of the best elements of a row's ranges, as argmax_parts.wgsl leaves them; the lowest index wins a tie. A
// thread takes one row.
// #import grid
@group(0) @binding(0) var<storage, read> best: array<u32>;       // [n, parts, 2]: an element's bits and its index
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;  // [n]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
  parts: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group_number(group, groups) * THREADS + t;
  if (i >= p.n) { return; }
  var top = bitcast<f32>(best[2u * i * p.parts]);
  var at = best[2u * i * p.parts + 1u];
  for (var k = 1u; k < p.parts; k++) { // ranges ascend
    let v = bitcast<f32>(best[2u * (i * p.parts + k)]);
    if (v > top) {
      top = v;
      at = best[2u * (i * p.parts + k) + 1u];
    }
  }
  ids[i] = at;
}
