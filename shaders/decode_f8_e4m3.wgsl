// F8_E4M3: value = d * v, v an e4m3fn byte, d an f32 for 128 weights. A unit is 16 weights, an eighth of a block.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]
@group(0) @binding(1) var<storage, read> scales: array<u32>;        // [rows, units/8], f32 bits

const UNIT: u32 = 4u; // vec4s in a unit

struct Unit { q: vec4<u32>, d: f32 }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  return Unit(weights[row * units + u], bitcast<f32>(scales[row * (units / 8u) + u / 8u]));
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 4u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let b = (vec4<u32>(w.q[j]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
  let normal = bitcast<vec4<f32>>(((b & vec4<u32>(127u)) << vec4<u32>(20u)) + vec4<u32>(0x3c000000u)); // exponent bias 7 to 127
  let small = vec4<f32>(b & vec4<u32>(7u)) * 0.001953125;                                              // exponent 0: m * 2^-9
  let magnitude = select(normal, small, (b & vec4<u32>(0x78u)) == vec4<u32>(0u));
  return select(magnitude, -magnitude, b >= vec4<u32>(128u)) * w.d;
}
