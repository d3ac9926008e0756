// Q8_0: value = d * q, q a signed byte, d an f16 for 32 weights. A unit is 16 weights, half a block.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]
// #import halves

const UNIT: u32 = 4u; // vec4s in a unit

struct Unit { q: vec4<u32>, d: f32 }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u], block_scale(row, u / 2u, units / 2u));
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 4u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let q = bitcast<vec4<i32>>(vec4<u32>(w.q[j]) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u);
  return vec4<f32>(q) * w.d;
}
