// Q5_K: as Q4_K, with a fifth bit of q in a plane of 32 bytes, of which bit s belongs to sub-block s.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units/8, 11]: head, 2 of fifth bits, 8 of nibbles
// #import scales_k

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, fifth: vec4<u32>, low: vec2<f32>, high: vec2<f32> }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  let block = (row * (units / 8u) + u / 8u) * 11u;
  let j = u % 8u;
  let head = weights[block];
  let fifth = weights[block + 1u + j % 2u] >> vec4<u32>(j & 6u); // bit 0: the low nibbles, bit 1: the high ones
  return Unit(weights[block + 3u + j], fifth, scale_min(head, j & 6u), scale_min(head, j | 1u));
}

fn unit_vec(u: u32, j: u32) -> u32 {
  return (u / 8u) * 64u + ((u % 8u) / 2u) * 16u + (u % 2u) * 4u + (j & 3u) + (j & 4u) * 2u;
}

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  let at = vec4<u32>(0u, 8u, 16u, 24u);
  let q = (vec4<u32>(w.q[j & 3u] >> (j & 4u)) >> at) & vec4<u32>(15u);
  let fifth = (vec4<u32>(w.fifth[j & 3u] >> (j / 4u)) >> at) & vec4<u32>(1u);
  let s = select(w.high, w.low, j < 4u);
  return fma(vec4<f32>(q | (fifth << vec4<u32>(4u))), vec4<f32>(s.x), vec4<f32>(-s.y));
}
