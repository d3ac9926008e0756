// Q4_0: value = d * (q - 8), q a nibble, d an f16 for 32 weights. A unit is one block; low nibbles are weights 0-15.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]
// #import halves

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, d: f32 }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u], block_scale(row, u, units));
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 8u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let q = (vec4<u32>(w.q[j & 3u] >> (j & 4u)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
  return (vec4<f32>(q) - 8.0) * w.d;
}
