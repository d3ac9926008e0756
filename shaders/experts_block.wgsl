// Multiplies many rows with the matrices of a stack that their ids name: matmul_experts.wgsl for batches. The slots lie sorted
// by expert in order, as group_slots.wgsl leaves them, so that a block of slots shares an expert's weights.
//
//   dst[slot, r] = bias[e, r] + sum over c of w[e, r, c] * x[slot / k, c]; zeros if e >= count
//
// A workgroup computes 64 rows of up to X_BLOCK slots of one expert. kind is as in matmul.wgsl.
// #import decode
// #import grid
// #import x
// #import block_tile
// #import activation
@group(0) @binding(2) var<storage, read> x: array<X>;            // [slots / k, cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;       // [count, rows], if has_bias
@group(0) @binding(4) var<storage, read> order: array<u32>;      // [blocks, 4]: expert, first place, places; then slots
@group(0) @binding(5) var<storage, read_write> dst: array<f32>;  // [slots, rows or rows/2]
@group(0) @binding(7) var<uniform> p: Params;

struct Params {
  blocks: u32,
  k: u32,          // slots that share an activation row
  cols: u32,
  units: u32,      // per weight row
  rows: u32,       // of one matrix
  count: u32,      // matrices
  first: u32,      // row of the stack [count * rows] that weights begins with
  held: u32,       // rows that weights holds
  has_bias: u32,
  kind: u32,
}

var<private> block: vec4<u32>; // of order
var<private> row0: u32;        // of the expert
var<private> base: u32;        // the expert's first row in the stack

// Rows before and after those held here repeat some that are; their results are not kept.
fn weight_row(k: u32) -> u32 {
  let at = max(base + min(row0 + k, p.rows - 1u), p.first) - p.first;
  return min(at, p.held - 1u);
}

fn slot_at(k: u32) -> u32 { return order[4u * p.blocks + block.y + min(k, block.z - 1u)]; }

fn x_row(k: u32) -> u32 { return (slot_at(k) / p.k) * p.cols; }

fn held(row: u32) -> bool {
  let at = base + row;
  return row < p.rows && at >= p.first && at < p.first + p.held;
}

fn emit(row: u32, column: u32, a: vec4<f32>, b: vec4<f32>) {
  let r = row0 + row;
  let one = held(r);
  let two = held(r + 1u);
  var v = a;
  var w = b;
  if (p.has_bias != 0u) {
    if (one) { v += vec4<f32>(bias[base + r]); }
    if (two) { w += vec4<f32>(bias[base + r + 1u]); }
  }
  for (var k = 0u; k < 4u; k++) {
    if (column + k < block.z) {
      let slot = slot_at(column + k);
      if (p.kind > 0u) {
        if (one) { dst[slot * (p.rows / 2u) + r / 2u] = activate(p.kind - 1u, v[k], w[k]); }
      } else {
        if (one) { dst[slot * p.rows + r] = v[k]; }
        if (two) { dst[slot * p.rows + r + 1u] = w[k]; }
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let tiles = (p.rows + ROW_BLOCK - 1u) / ROW_BLOCK;
  let number = g / tiles;
  if (number >= p.blocks) { return; }
  row0 = (g % tiles) * ROW_BLOCK;
  block = vec4<u32>(order[4u * number], order[4u * number + 1u], order[4u * number + 2u], 0u);
  if (block.z == 0u) { return; }
  if (block.x >= p.count) {
    var width = p.rows;
    if (p.kind > 0u) { width = p.rows / 2u; }
    if (p.first == 0u) {
      for (var o = t; o < block.z * ROW_BLOCK; o += THREADS) {
        let r = row0 + o % ROW_BLOCK;
        if (r < width) { dst[slot_at(o / ROW_BLOCK) * width + r] = 0.0; }
      }
    }
    return;
  }
  base = block.x * p.rows;
  if (base + row0 >= p.first + p.held || base + row0 + ROW_BLOCK <= p.first) { return; }
  block_tile(t, p.units, p.cols);
}
