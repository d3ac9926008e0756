// Looks up rows of the embedding table.
//
//   dst[i, c] = scale * table[ids[i], c]    zeros if ids[i] >= rows
//
// A thread decodes one unit of one row.
// #import decode
// #import grid
@group(0) @binding(2) var<storage, read> ids: array<u32>;        // [n]
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;  // [n, cols]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
  cols: u32,
  units: u32,      // per row
  rows: u32,       // of the whole table
  first: u32,      // row of the table that weights begins with
  count: u32,      // rows that weights holds
  scale: f32,
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups) * THREADS + t;
  let i = g / p.units;
  let u = g % p.units;
  if (i >= p.n) { return; }
  let id = ids[i];
  let missing = id >= p.rows;
  // Exactly one of the table's parts writes a row: the one that holds it, or the first for a row that none holds.
  if (select(id < p.first || id >= p.first + p.count, p.first != 0u, missing)) { return; }
  let w = load_unit(select(id - p.first, 0u, missing), u, p.units);
  let scale = select(p.scale, 0.0, missing);
  for (var j = 0u; j < UNIT; j++) {
    let v = unit_weights(w, j) * scale;
    let c = unit_vec(u, j) * 4u;
    for (var k = 0u; k < 4u; k++) {
      if (c + k < p.cols) { dst[i * p.cols + c + k] = v[k]; }
    }
  }
}
