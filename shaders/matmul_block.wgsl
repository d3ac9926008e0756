// Multiplies many rows of activations with one weight matrix: matmul.wgsl for batches, block by block.
//
//   dst[i, r] = bias[r] + sum over c of w[r, c] * x[i, c]
//
// kind and add are as there. Neighbouring workgroups take the same weight rows.
// #import decode
// #import grid
// #import x
// #import block_tile
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

var<private> row0: u32;
var<private> i0: u32;

fn weight_row(k: u32) -> u32 { return min(row0 + k, p.count - 1u); }

fn x_row(k: u32) -> u32 { return min(i0 + k, p.n - 1u) * p.cols; }

// Takes the results of weight rows row and row + 1 of the block for 4 activation rows.
fn emit(row: u32, column: u32, a: vec4<f32>, b: vec4<f32>) {
  let r = p.first + row0 + row;
  if (row0 + row >= p.count) { return; }
  var v = a;
  var w = b;
  let second = row0 + row + 1u < p.count;
  if (p.has_bias != 0u) {
    v += vec4<f32>(bias[r]);
    if (second) { w += vec4<f32>(bias[r + 1u]); }
  }
  for (var k = 0u; k < 4u; k++) {
    let i = i0 + column + k;
    if (i < p.n) {
      if (p.kind > 0u) {
        dst[p.offset + i * p.stride + r / 2u] = activate(p.kind - 1u, v[k], w[k]);
      } else {
        let at = p.offset + i * p.stride + r;
        if (p.add != 0u) {
          dst[at] = dst[at] + v[k];
          if (second) { dst[at + 1u] = dst[at + 1u] + w[k]; }
        } else {
          dst[at] = v[k];
          if (second) { dst[at + 1u] = w[k]; }
        }
      }
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  let xtiles = (p.n + X_BLOCK - 1u) / X_BLOCK;
  row0 = (g / xtiles) * ROW_BLOCK;
  i0 = (g % xtiles) * X_BLOCK;
  if (row0 >= p.count) { return; }
  block_tile(t, p.units, p.cols);
}
