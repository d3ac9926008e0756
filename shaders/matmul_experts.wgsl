// Multiplies every row with the k matrices of a stack that its ids name.
//
//   dst[i, j, r] = bias[e, r] + sum over c of w[e, r, c] * x_ij[c]    with e = ids[i, j]; zeros if e >= count
//
// x_ij is x[i, :], or x[i, j, :] with per_slot. A workgroup computes TEAMS*ROWS rows of one slot (i, j). XROWS is 1.
// #import decode
// #import grid
// #import x
// #import tile
// #import activation
@group(0) @binding(2) var<storage, read> x: array<X>;            // [n, cols] or [n, k, cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [count, rows], if has_bias
@group(0) @binding(4) var<storage, read> ids: array<u32>;        // [n, k]
@group(0) @binding(5) var<storage, read_write> dst: array<f32>;  // [n, k, rows]
@group(0) @binding(7) var<uniform> p: Params;

struct Params {
  slots: u32,      // n * k
  k: u32,          // slots that share an activation row; 1 with per_slot
  cols: u32,
  units: u32,      // per weight row
  rows: u32,       // of one matrix
  count: u32,      // matrices
  first: u32,      // row of the stack [count * rows] that weights begins with
  held: u32,       // rows that weights holds
  has_bias: u32,
  kind: u32,       // 0: plain; else pairs of rows become one, by 1 + kind of activation.wgsl
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let tiles = (p.rows + TEAMS * ROWS - 1u) / (TEAMS * ROWS);
  let slot = g / tiles;
  if (slot >= p.slots) { return; }
  let row0 = (g % tiles) * TEAMS * ROWS;
  let e = ids[slot];
  if (e >= p.count) {
    if (p.first == 0u && t < TEAMS * ROWS && row0 + t < p.rows) {
      if (p.kind == 0u) { dst[slot * p.rows + row0 + t] = 0.0; }
      else { dst[slot * (p.rows / 2u) + (row0 + t) / 2u] = 0.0; }
    }
    return;
  }
  // The stack's rows that this workgroup needs may begin before or end after those held here.
  let want = e * p.rows + row0;
  if (want >= p.first + p.held || want + TEAMS * ROWS <= p.first) { return; }
  let mine = max(want + (t / LANES) * ROWS, p.first) - p.first;
  let shift = max(want + (t / LANES) * ROWS, p.first) - (want + (t / LANES) * ROWS);
  dot_tile(t, mine, p.held - 1u, p.units, (slot / p.k) * p.cols, 0u, 1u, p.cols);
  if (p.kind > 0u) { // parts of a stack begin at even rows, so that none splits a pair
    let pair = 2u * (t % LANES);
    let row = row0 + (t / LANES) * ROWS + shift + pair;
    let at = e * p.rows + row;
    if (pair + shift < ROWS && row < p.rows && at < p.first + p.held) {
      var gate = partial[pair * PITCH + t - t % LANES];
      var up = partial[(pair + 1u) * PITCH + t - t % LANES];
      if (p.has_bias != 0u) {
        gate += bias[at];
        up += bias[at + 1u];
      }
      dst[slot * (p.rows / 2u) + row / 2u] = activate(p.kind - 1u, gate, up);
    }
    return;
  }
  if (t % LANES == 0u) {
    for (var k = shift; k < ROWS; k++) {
      let row = row0 + (t / LANES) * ROWS + k;
      let at = e * p.rows + row;
      if (row < p.rows && at < p.first + p.held) {
        var y = partial[(k - shift) * PITCH + t];
        if (p.has_bias != 0u) { y += bias[at]; }
        dst[slot * p.rows + row] = y;
      }
    }
  }
}
