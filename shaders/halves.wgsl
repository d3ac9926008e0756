// Block scales kept as f16 in a plane of their own, two to a word; every row starts a new word.
@group(0) @binding(1) var<storage, read> scales: array<u32>; // [rows, (blocks+1)/2]

fn block_scale(row: u32, block: u32, blocks: u32) -> f32 {
  let pair = unpack2x16float(scales[row * ((blocks + 1u) / 2u) + block / 2u]);
  return select(pair.y, pair.x, block % 2u == 0u);
}
