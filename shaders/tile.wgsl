// Dot products of ROWS weight rows with XROWS rows of activations, the heart of every matrix product.
//
// LANES threads share a row: thread l sums units l, l + LANES, ... in that order, every product by one fma, and the LANES sums are
// added in their order. Neither ROWS nor XROWS appears there, and block_tile.wgsl keeps to it too: a result has the same bits
// whatever it is computed with.
const THREADS: u32 = 64u;
const LANES: u32 = 64u;
const ROWS: u32 = 2u;
const XROWS: u32 = 1u;
const TEAMS: u32 = THREADS / LANES;     // groups of LANES threads, each with its own ROWS weight rows
const SUMS: u32 = ROWS * XROWS;
const PITCH: u32 = THREADS + 1u;        // threads that add different sums then read different banks
const PARTIALS: u32 = PITCH * SUMS;

var<workgroup> partial: array<f32, PARTIALS>; // [row, x row, thread]

// Leaves the dot product of weight row (row + r) and activation row i in partial[(r*XROWS + i)*PITCH + t] of a team's first
// thread t. Rows from last_row on repeat it, and activation rows from xrows on repeat the last: their sums are not to be used.
// start is the first activation row's first element and stride the distance to the next.
fn dot_tile(t: u32, row: u32, last_row: u32, units: u32, start: u32, stride: u32, xrows: u32, cols: u32) {
  let lane = t % LANES;
  var sum: array<f32, SUMS>;
  for (var k = 0u; k < SUMS; k++) { sum[k] = 0.0; }
  for (var u = lane; u < units; u += LANES) {
    var w: array<Unit, ROWS>;
    for (var r = 0u; r < ROWS; r++) { w[r] = load_unit(min(row + r, last_row), u, units); }
    for (var j = 0u; j < UNIT; j++) {
      let at = unit_vec(u, j);
      var v: array<vec4<f32>, XROWS>;
      for (var i = 0u; i < XROWS; i++) { v[i] = x_at(start + min(i, xrows - 1u) * stride, at, cols); }
      for (var r = 0u; r < ROWS; r++) {
        let q = unit_weights(w[r], j);
        for (var i = 0u; i < XROWS; i++) {
          let a = v[i];
          sum[r * XROWS + i] = fma(q.w, a.w, fma(q.z, a.z, fma(q.y, a.y, fma(q.x, a.x, sum[r * XROWS + i]))));
        }
      }
    }
  }
  for (var k = 0u; k < SUMS; k++) { partial[k * PITCH + t] = sum[k]; }
  workgroupBarrier();
  for (var k = lane; k < SUMS; k += LANES) {
    let base = k * PITCH + t - lane;
    var all = 0.0;
    for (var l = 0u; l < LANES; l++) { all += partial[base + l]; }
    partial[base] = all;
  }
  workgroupBarrier();
}
