// A block of a matrix product: 64 weight rows times 32*QUADS rows of activations, through workgroup memory, 32 columns a step. A
// thread computes 8 weight rows for 4*QUADS activation rows.
//
// The order of summation is that of tile.wgsl: the units of lane 0, those of lane 1 and so on, and the lanes' sums one after the
// other. The kernel says where rows begin, weight_row and x_row, and takes the results, emit.
const THREADS: u32 = 64u;
const LANES: u32 = 64u;
const QUADS: u32 = 2u;
const UNITS: u32 = 8u / UNIT;        // units in a step of 32 columns
const ROW_BLOCK: u32 = 64u;
const X_BLOCK: u32 = 32u * QUADS;

var<workgroup> w_block: array<vec4<f32>, 512>; // [32 columns, 64 rows]
var<workgroup> x_block: array<vec4<f32>, 512>; // [32 columns, 64 rows]

// The unit that is summed as number q, and 1 if it is the last of its lane.
fn unit_number(q: u32, units: u32) -> vec2<u32> {
  let most = units / LANES;
  let longer = units % LANES; // lanes with one unit more
  if (q < longer * (most + 1u)) {
    let i = q % (most + 1u);
    return vec2<u32>(q / (most + 1u) + i * LANES, select(0u, 1u, i == most));
  }
  let rest = q - longer * (most + 1u);
  let each = max(most, 1u);
  let i = rest % each;
  return vec2<u32>(longer + rest / each + i * LANES, select(0u, 1u, i + 1u == most));
}

fn block_tile(t: u32, units: u32, cols: u32) {
  var s00 = vec4<f32>(0.0); var y00 = vec4<f32>(0.0);
  var s01 = vec4<f32>(0.0); var y01 = vec4<f32>(0.0);
  var s10 = vec4<f32>(0.0); var y10 = vec4<f32>(0.0);
  var s11 = vec4<f32>(0.0); var y11 = vec4<f32>(0.0);
  var s20 = vec4<f32>(0.0); var y20 = vec4<f32>(0.0);
  var s21 = vec4<f32>(0.0); var y21 = vec4<f32>(0.0);
  var s30 = vec4<f32>(0.0); var y30 = vec4<f32>(0.0);
  var s31 = vec4<f32>(0.0); var y31 = vec4<f32>(0.0);
  var s40 = vec4<f32>(0.0); var y40 = vec4<f32>(0.0);
  var s41 = vec4<f32>(0.0); var y41 = vec4<f32>(0.0);
  var s50 = vec4<f32>(0.0); var y50 = vec4<f32>(0.0);
  var s51 = vec4<f32>(0.0); var y51 = vec4<f32>(0.0);
  var s60 = vec4<f32>(0.0); var y60 = vec4<f32>(0.0);
  var s61 = vec4<f32>(0.0); var y61 = vec4<f32>(0.0);
  var s70 = vec4<f32>(0.0); var y70 = vec4<f32>(0.0);
  var s71 = vec4<f32>(0.0); var y71 = vec4<f32>(0.0);
  let wrow = weight_row(t);
  let start = x_row(t);
  let start2 = x_row(t % 32u);
  for (var q0 = 0u; q0 < units; q0 += UNITS) {
    workgroupBarrier();
    for (var k = 0u; k < UNITS; k++) {
      if (q0 + k < units) {
        let unit = unit_number(q0 + k, units).x;
        let w = load_unit(wrow, unit, units);
        for (var j = 0u; j < UNIT; j++) {
          let v = unit_weights(w, j);
          let at = (k * UNIT + j) * 64u + t / 4u;
          let c = t % 4u;
          w_block[at][c] = v.x;
          w_block[at + 16u][c] = v.y;
          w_block[at + 32u][c] = v.z;
          w_block[at + 48u][c] = v.w;
        }
        if (QUADS == 2u) {
          for (var j = 0u; j < UNIT; j++) {
            let v = x_at(start, unit_vec(unit, j), cols);
            let at = (k * UNIT + j) * 64u + t / 4u;
            let c = t % 4u;
            x_block[at][c] = v.x;
            x_block[at + 16u][c] = v.y;
            x_block[at + 32u][c] = v.z;
            x_block[at + 48u][c] = v.w;
          }
        } else { // two threads a row
          for (var j = t / 32u; j < UNIT; j += 2u) {
            let v = x_at(start2, unit_vec(unit, j), cols);
            let at = (k * UNIT + j) * 64u + (t % 32u) / 4u;
            let c = t % 4u;
            x_block[at][c] = v.x;
            x_block[at + 16u][c] = v.y;
            x_block[at + 32u][c] = v.z;
            x_block[at + 48u][c] = v.w;
          }
        }
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < UNITS; k++) {
      if (q0 + k >= units) { break; }
      for (var e = 0u; e < UNIT * 4u; e++) {
        let at = (k * UNIT * 4u + e) * 16u;
        let a = w_block[at + (t / 8u) * 2u];
        let b = w_block[at + (t / 8u) * 2u + 1u];
        let v = x_block[at + t % 8u];
        s00 = fma(vec4<f32>(a.x), v, s00);
        s10 = fma(vec4<f32>(a.y), v, s10);
        s20 = fma(vec4<f32>(a.z), v, s20);
        s30 = fma(vec4<f32>(a.w), v, s30);
        s40 = fma(vec4<f32>(b.x), v, s40);
        s50 = fma(vec4<f32>(b.y), v, s50);
        s60 = fma(vec4<f32>(b.z), v, s60);
        s70 = fma(vec4<f32>(b.w), v, s70);
        if (QUADS == 2u) {
          let u1 = x_block[at + 8u + t % 8u];
          s01 = fma(vec4<f32>(a.x), u1, s01);
          s11 = fma(vec4<f32>(a.y), u1, s11);
          s21 = fma(vec4<f32>(a.z), u1, s21);
          s31 = fma(vec4<f32>(a.w), u1, s31);
          s41 = fma(vec4<f32>(b.x), u1, s41);
          s51 = fma(vec4<f32>(b.y), u1, s51);
          s61 = fma(vec4<f32>(b.z), u1, s61);
          s71 = fma(vec4<f32>(b.w), u1, s71);
        }
      }
      if (unit_number(q0 + k, units).y == 1u) {
        y00 += s00; s00 = vec4<f32>(0.0);
        y10 += s10; s10 = vec4<f32>(0.0);
        y20 += s20; s20 = vec4<f32>(0.0);
        y30 += s30; s30 = vec4<f32>(0.0);
        y40 += s40; s40 = vec4<f32>(0.0);
        y50 += s50; s50 = vec4<f32>(0.0);
        y60 += s60; s60 = vec4<f32>(0.0);
        y70 += s70; s70 = vec4<f32>(0.0);
        if (QUADS == 2u) {
          y01 += s01; s01 = vec4<f32>(0.0);
          y11 += s11; s11 = vec4<f32>(0.0);
          y21 += s21; s21 = vec4<f32>(0.0);
          y31 += s31; s31 = vec4<f32>(0.0);
          y41 += s41; s41 = vec4<f32>(0.0);
          y51 += s51; s51 = vec4<f32>(0.0);
          y61 += s61; s61 = vec4<f32>(0.0);
          y71 += s71; s71 = vec4<f32>(0.0);
        }
      }
    }
  }
  let first = (t / 8u) * 8u;
  let column = (t % 8u) * 4u;
  emit(first + 0u, column, y00, y10);
  emit(first + 2u, column, y20, y30);
  emit(first + 4u, column, y40, y50);
  emit(first + 6u, column, y60, y70);
  if (QUADS == 2u) {
    emit(first + 0u, 32u + column, y01, y11);
    emit(first + 2u, 32u + column, y21, y31);
    emit(first + 4u, 32u + column, y41, y51);
    emit(first + 6u, 32u + column, y61, y71);
  }
}
