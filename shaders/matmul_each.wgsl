// Multiplies slice j of every row with matrix j of a stack.
//
//   dst[i, j, r] = sum over c of w[j, r, c] * x[i, j, c]
//
// A workgroup computes TEAMS*ROWS rows of one matrix for one row i. XROWS is 1.
// #import decode
// #import grid
// #import x
// #import tile
@group(0) @binding(2) var<storage, read> x: array<X>;            // slice j of row i starts at x_offset + i*x_row + j*x_stride
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;  // likewise with d_offset, d_row, d_stride
@group(0) @binding(7) var<uniform> p: Params;

struct Params {
  n: u32,          // rows of x
  cols: u32,
  units: u32,      // per weight row
  rows: u32,       // of one matrix
  count: u32,      // matrices
  first: u32,      // row of the stack [count * rows] that weights begins with
  held: u32,       // rows that weights holds
  x_offset: u32,
  x_stride: u32,
  x_row: u32,
  d_offset: u32,
  d_stride: u32,
  d_row: u32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let tiles = (p.rows + TEAMS * ROWS - 1u) / (TEAMS * ROWS);
  let slot = g / tiles;
  let i = slot % p.n;
  let j = slot / p.n;
  if (j >= p.count) { return; }
  let row0 = (g % tiles) * TEAMS * ROWS;
  // The stack's rows that this workgroup needs may begin before or end after those held here.
  let want = j * p.rows + row0;
  if (want >= p.first + p.held || want + TEAMS * ROWS <= p.first) { return; }
  let mine = max(want + (t / LANES) * ROWS, p.first) - p.first;
  let shift = max(want + (t / LANES) * ROWS, p.first) - (want + (t / LANES) * ROWS);
  dot_tile(t, mine, p.held - 1u, p.units, p.x_offset + i * p.x_row + j * p.x_stride, 0u, 1u, p.cols);
  if (t % LANES == 0u) {
    for (var k = shift; k < ROWS; k++) {
      let row = row0 + (t / LANES) * ROWS + k;
      let at = j * p.rows + row;
      if (row < p.rows && at < p.first + p.held) {
        dst[p.d_offset + i * p.d_row + j * p.d_stride + row] = partial[(k - shift) * PITCH + t];
      }
    }
  }
}
