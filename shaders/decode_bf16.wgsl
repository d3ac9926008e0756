// BF16: a unit is 8 weights, each the upper half of an f32.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]

const UNIT: u32 = 2u; // vec4s in a unit

struct Unit { q: vec4<u32> }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u]);
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 2u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let pair = select(w.q.zw, w.q.xy, j == 0u);
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}
