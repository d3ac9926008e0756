// Finds the largest element of each of parts ranges of a row, for argmax_merge.wgsl. A workgroup computes one range.
// #import grid
@group(0) @binding(0) var<storage, read> x: array<f32>;           // [n, width]
@group(0) @binding(1) var<storage, read_write> best: array<u32>;  // [n, parts, 2]: the element's bits and its index
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 256u;

struct Params {
  n: u32,
  width: u32,
  parts: u32,
  span: u32,   // elements of a range; the last of a row may be shorter, none is empty
}

var<workgroup> tops: array<f32, THREADS>;
var<workgroup> places: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  if (g >= p.n * p.parts) { return; }
  let row = (g / p.parts) * p.width;
  let lead = (g % p.parts) * p.span;
  let end = min(lead + p.span, p.width);
  var at = lead; // a thread that sees no element repeats the first
  var top = x[row + lead];
  for (var c = lead + t; c < end; c += THREADS) {
    let v = x[row + c];
    if (v > top) {
      top = v;
      at = c;
    }
  }
  tops[t] = top;
  places[t] = at;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (t < step) {
      let v = tops[t + step];
      if (v > tops[t] || (v == tops[t] && places[t + step] < places[t])) {
        tops[t] = v;
        places[t] = places[t + step];
      }
    }
  }
  if (t == 0u) {
    best[2u * g] = bitcast<u32>(tops[0]);
    best[2u * g + 1u] = places[0];
  }
}
