// MXFP4: value = 2^(e-127) * v, v an e2m1 nibble (0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign), e a byte for 32 weights (OCP
// Microscaling formats 1.0). A unit is one block; low nibbles are weights 0-15.
@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>; // [rows, units]
@group(0) @binding(1) var<storage, read> scales: array<u32>;        // [rows, (units+3)/4], four bytes to a word

const UNIT: u32 = 8u; // vec4s in a unit

struct Unit { q: vec4<u32>, d: f32 }

fn load_unit(row: u32, u: u32, units: u32) -> Unit {
  let e = (scales[row * ((units + 3u) / 4u) + u / 4u] >> (8u * (u % 4u))) & 255u;
  // 2^14 times the scale, see below. It ends at 2^127: scales beyond 2^113 are taken for that.
  return Unit(weights[row * units + u], bitcast<f32>(min(e + 14u, 254u) << 23u));
}

fn unit_vec(u: u32, j: u32) -> u32 { return u * 8u + j; }

fn unit_weights(w: Unit, j: u32) -> vec4<f32> {
  // With its sign and three bits at the top of an f16's, e2m1 is 2^-14 of its value there, subnormals too.
  let q = w.q[j & 3u] >> (j & 4u);
  let even = q & 0x000f000fu;
  let odd = (q >> 8u) & 0x000f000fu;
  let a = unpack2x16float(((even & 0x00070007u) << 9u) | ((even & 0x00080008u) << 12u));
  let b = unpack2x16float(((odd & 0x00070007u) << 9u) | ((odd & 0x00080008u) << 12u));
  return vec4<f32>(a.x, b.x, a.y, b.y) * w.d;
}
