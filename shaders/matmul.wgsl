// Multiplies rows of activations with one weight matrix.
//
//   dst[i, r] = bias[r] + sum over c of w[r, c] * x[i, c]
//
// With kind > 0 the rows of the matrix are pairs, and dst[i, r] = activation(row 2r, row 2r+1). With add, dst is added to.
//
// A workgroup computes TEAMS*ROWS weight rows for XROWS activation rows. Neighbouring workgroups take the same weight rows, so
// that a batch reads the weights from memory about once.
// #import decode
// #import grid
// #import x
// #import tile
// #import activation
@group(0) @binding(2) var<storage, read> x: array<X>;            // [n, cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [rows], if has_bias
@group(0) @binding(4) var<storage, read_write> dst: array<f32>;  // [n, rows or rows/2], at offset, stride apart
@group(0) @binding(7) var<uniform> p: Params;

struct Params {
  n: u32,
  cols: u32,
  units: u32,      // per weight row
  rows: u32,       // of the whole matrix
  first: u32,      // row of the matrix that weights begins with
  count: u32,      // rows that weights holds
  has_bias: u32,
  offset: u32,     // of dst
  stride: u32,
  kind: u32,       // 0: plain; else 1 + that of activation.wgsl
  add: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let xtiles = (p.n + XROWS - 1u) / XROWS;
  let row0 = (g / xtiles) * TEAMS * ROWS;
  let i0 = (g % xtiles) * XROWS;
  if (row0 >= p.count) { return; }
  dot_tile(t, row0 + (t / LANES) * ROWS, p.count - 1u, p.units, i0 * p.cols, p.cols, p.n - i0, p.cols);
  if (p.kind > 0u) {
    for (var o = t; o < TEAMS * SUMS / 2u; o += THREADS) {
      let team = o / (SUMS / 2u);
      let pair = (o % (SUMS / 2u)) / XROWS;
      let i = i0 + o % XROWS;
      let row = row0 + team * ROWS + 2u * pair;
      if (row < p.count && i < p.n) {
        let r = p.first + row;
        var gate = partial[(2u * pair * XROWS + o % XROWS) * PITCH + team * LANES];
        var up = partial[((2u * pair + 1u) * XROWS + o % XROWS) * PITCH + team * LANES];
        if (p.has_bias != 0u) {
          gate += bias[r];
          up += bias[r + 1u];
        }
        dst[p.offset + i * p.stride + r / 2u] = activate(p.kind - 1u, gate, up);
      }
    }
    return;
  }
  for (var o = t; o < TEAMS * SUMS; o += THREADS) {
    let team = o / SUMS;
    let k = o % SUMS;
    let row = row0 + team * ROWS + k / XROWS;
    let i = i0 + k % XROWS;
    if (row < p.count && i < p.n) {
      let r = p.first + row;
      var y = partial[k * PITCH + team * LANES];
      if (p.has_bias != 0u) { y += bias[r]; }
      let at = p.offset + i * p.stride + r;
      if (p.add != 0u) { y = dst[at] + y; }
      dst[at] = y;
    }
  }
}
