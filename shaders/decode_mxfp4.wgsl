// MXFP4: value = 2^(e-127) * v, v an e2m1 nibble (0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign), e a byte for 32 weights (OCP
// Microscaling formats 1.0). A unit is one block; low nibbles are weights 0-15.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]
@group(0) @binding(1) var<storage, read> scales: array<u32>;        // [rows, (units+3)/4], four bytes to a word

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, d: f32 }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  let e = (scales[row * ((units + 3u) / 4u) + u / 4u] >> (8u * (u % 4u))) & 255u;
  // Half of the scale, because the table below holds doubled values. 2^-127 and 2^-128 have no normal f32 and become 0.
  return Unit(weights[row * units + u], bitcast<f32>((max(e, 1u) - 1u) << 23u));
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 8u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let q = vec4<u32>(w.q[j & 3u] >> (j & 4u)) >> vec4<u32>(0u, 8u, 16u, 24u);
  // The nibbles of the constant are the eight magnitudes doubled: 0 1 2 3 4 6 8 12.
  let magnitude = vec4<f32>((vec4<u32>(0xc8643210u) >> ((q & vec4<u32>(7u)) * 4u)) & vec4<u32>(15u));
  return select(magnitude, -magnitude, (q & vec4<u32>(8u)) != vec4<u32>(0u)) * w.d;
}
