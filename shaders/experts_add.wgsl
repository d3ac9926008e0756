// The last product of a MoE layer and its weighted sum, for few rows.
//
//   x[i, r] += weights[i, j] * (bias[e, r] + sum over c of w[e, r, c] * y[i, j, c])    for j = 0 .. k-1, e = ids[i, j]
//
// A slot whose id is count or more adds nothing. A workgroup computes ROWS elements of one row of x: its TEAMS groups of LANES
// threads take slots in turn, and one thread an element adds them in slot order. The bits are those of matmul_experts.wgsl
// followed by combine.wgsl.
// #import decode
// #import grid
// #import x
@group(0) @binding(2) var<storage, read> x: array<X>;            // [n, k, cols]: y above
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [count, rows], if has_bias
@group(0) @binding(4) var<storage, read> ids: array<u32>;        // [n, k]
@group(0) @binding(5) var<storage, read> weights_of: array<f32>; // [n, k]
@group(0) @binding(6) var<storage, read_write> dst: array<f32>;  // [n, rows]: x above
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;
const LANES: u32 = 16u;
const ROWS: u32 = 2u;
const TEAMS: u32 = THREADS / LANES;
const PITCH: u32 = LANES + 1u;
const SLOTS: u32 = 16u; // k <= SLOTS
const SUMS: u32 = SLOTS * ROWS;
const PARTIALS: u32 = SUMS * PITCH;

struct Params {
  n: u32,
  k: u32,
  cols: u32,
  units: u32,      // per weight row
  rows: u32,       // of one matrix
  count: u32,      // matrices
  has_bias: u32,
}

var<workgroup> partial: array<f32, PARTIALS>; // [slot, row, lane]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let tiles = (p.rows + ROWS - 1u) / ROWS;
  let i = g / tiles;
  if (i >= p.n) { return; }
  let row0 = (g % tiles) * ROWS;
  let lane = t % LANES;
  for (var j = t / LANES; j < p.k; j += TEAMS) {
    let e = min(ids[i * p.k + j], p.count - 1u);
    let start = (i * p.k + j) * p.cols;
    var sum: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) { sum[r] = 0.0; }
    for (var u = lane; u < p.units; u += LANES) {
      var w: array<Unit, ROWS>;
      for (var r = 0u; r < ROWS; r++) { w[r] = load_unit(e * p.rows + min(row0 + r, p.rows - 1u), u, p.units); }
      for (var m = 0u; m < UNIT; m++) {
        let a = x_at(start, unit_vec(u, m), p.cols);
        for (var r = 0u; r < ROWS; r++) {
          let q = unit_weights(w[r], m);
          sum[r] = fma(q.w, a.w, fma(q.z, a.z, fma(q.y, a.y, fma(q.x, a.x, sum[r]))));
        }
      }
    }
    for (var r = 0u; r < ROWS; r++) { partial[(j * ROWS + r) * PITCH + lane] = sum[r]; }
  }
  workgroupBarrier();
  for (var o = t; o < p.k * ROWS; o += THREADS) {
    var all = 0.0;
    for (var l = 0u; l < LANES; l++) { all += partial[o * PITCH + l]; }
    let e = ids[i * p.k + o / ROWS];
    if (e < p.count) {
      if (p.has_bias != 0u) { all += bias[e * p.rows + min(row0 + o % ROWS, p.rows - 1u)]; }
    } else {
      all = 0.0;
    }
    partial[o * PITCH] = all;
  }
  workgroupBarrier();
  if (t < ROWS && row0 + t < p.rows) {
    let at = i * p.rows + row0 + t;
    var v = dst[at];
    for (var j = 0u; j < p.k; j++) { v = fma(weights_of[i * p.k + j], partial[(j * ROWS + t) * PITCH], v); }
    dst[at] = v;
  }
}
