// F32: a unit is 4 weights.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]

const UNIT: u32 = 1u; // vec4s in a unit

struct Unit { q: vec4<u32> }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u]);
}

fn unit_vec(u: u32, j: u32) -> u32 { return u; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> { return bitcast<vec4<f32>>(w.q); }
