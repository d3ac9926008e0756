// Q4_K: value = d * scale * q - dmin * min, q a nibble, scale and min 6 bits for 32 weights, d and dmin f16 for 256.
// A unit is 32 weights of a block: 16 from the low nibbles of 16 bytes and, 32 weights on, 16 from the high nibbles.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units/8, 9]: head, then 8 of nibbles
// #import scales_k

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, low: vec2<f32>, high: vec2<f32> }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  let block = (row * (units / 8u) + u / 8u) * 9u;
  let j = u % 8u;
  let head = weights[block];
  return Unit(weights[block + 1u + j], scale_min(head, j & 6u), scale_min(head, j | 1u));
}

fn unit_vec(u: u32, j: u32) -> u32 {
  return (u / 8u) * 64u + ((u % 8u) / 2u) * 16u + (u % 2u) * 4u + (j & 3u) + (j & 4u) * 2u;
}

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let q = (vec4<u32>(w.q[j & 3u] >> (j & 4u)) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u);
  let s = select(w.high, w.low, j < 4u);
  return fma(vec4<f32>(q), vec4<f32>(s.x), vec4<f32>(-s.y));
}
