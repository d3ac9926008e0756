// F16: a unit is 8 weights.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]

const UNIT: u32 = 2u; // vec4s in a unit

struct Unit { q: vec4<u32> }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u]);
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 2u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let pair = select(w.q.zw, w.q.xy, j == 0u);
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
