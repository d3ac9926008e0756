// Q6_K: value = d * scale * (q - 32), q 6 bits (a nibble and two bits of another plane), scale a signed byte for 16 weights,
// d an f16 for 256. A unit is 32 weights of a block: 16 from low nibbles and, 64 weights on, 16 from the high ones.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units/8, 13]: scales, 8 of nibbles, 4 of upper bits
// #import halves

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, upper: vec4<u32>, low: f32, high: f32 }

fn signed_byte(w: vec4<u32>, i: u32) -> f32 {
  return f32(bitcast<i32>(w[i / 4u] << (24u - 8u * (i % 4u))) >> 24u);
}

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  let block = row * (units / 8u) + u / 8u;
  let base = block * 13u;
  let j = u % 8u;      // nibbles 16j to 16j+15 of the block
  let s = j + (j & 4u); // its low nibbles' scale; a half of the block has 8 scales
  let head = weights[base];
  let d = block_scale(row, u / 8u, units / 8u);
  let upper = weights[base + 9u + (j / 4u) * 2u + j % 2u] >> vec4<u32>(j & 2u); // bits 0-1: low nibbles, 4-5: high ones
  return Unit(weights[base + 1u + j], upper, d * signed_byte(head, s), d * signed_byte(head, s + 4u));
}

fn unit_vec(u: u32, j: u32) -> u32 {
  return (u / 8u) * 64u + ((u % 8u) / 4u) * 32u + (u % 4u) * 4u + (j & 3u) + (j & 4u) * 4u;
}

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let at = vec4<u32>(0u, 8u, 16u, 24u);
  let q = (vec4<u32>(w.q[j & 3u] >> (j & 4u)) >> at) & vec4<u32>(15u);
  let upper = (vec4<u32>(w.upper[j & 3u] >> (j & 4u)) >> at) & vec4<u32>(3u);
  return (vec4<f32>(q | (upper << vec4<u32>(4u))) - 32.0) * select(w.high, w.low, j < 4u);
}
