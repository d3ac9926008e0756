// Finds the largest element of each row; the lowest index wins a tie.
//
//   ids[i] = argmax over c of x[i, c]
//
// A workgroup computes one row.
// #import grid
@group(0) @binding(0) var<storage, read> x: array<f32>;          // [n, width]
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;  // [n]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 256u;

struct Params {
  n: u32,
  width: u32,
}

var<workgroup> best: array<f32, THREADS>;
var<workgroup> place: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group_number(group, groups);
  if (i >= p.n) { return; }
  // A thread that sees no element repeats the first, which changes nothing.
  var at = 0u;
  var top = x[i * p.width];
  for (var c = t; c < p.width; c += THREADS) {
    let v = x[i * p.width + c];
    if (v > top) {
      top = v;
      at = c;
    }
  }
  best[t] = top;
  place[t] = at;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (t < step) {
      let v = best[t + step];
      if (v > best[t] || (v == best[t] && place[t + step] < place[t])) {
        best[t] = v;
        place[t] = place[t + step];
      }
    }
  }
  if (t == 0u) { ids[i] = place[0]; }
}
