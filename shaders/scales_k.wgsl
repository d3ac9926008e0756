// The 6-bit scale and minimum of sub-block s (0-7) of a Q4_K or Q5_K block. head.yzw hold ggml's 12 packed bytes.
fn scale_min(head: vec4<u32>, s: u32) -> vec2<f32> {
  let at = (s & 3u) * 8u;
  let a = (head.y >> at) & 255u;
  let b = (head.z >> at) & 255u;
  let c = (head.w >> at) & 255u;
  let low = vec2<u32>(a & 63u, b & 63u);
  let high = vec2<u32>((c & 15u) | ((a >> 6u) << 4u), (c >> 4u) | ((b >> 6u) << 4u));
  return vec2<f32>(select(high, low, s < 4u)) * unpack2x16float(head.x);
}
