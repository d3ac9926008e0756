// Causal attention of consecutive positions of one sequence over its cache, by online softmax (Milakov and Gimelshein 2018).
//
//   dst[i, h] = sum over p of softmax_p(q[i, h] . k[p, h/group] * scale) * v[p, h/group]
//
// Row i sees positions p <= start + i and, with a window, p > start + i - window. A sink adds exp(sink) to the denominator. With
// soft_cap > 0 a score becomes soft_cap * tanh(score / soft_cap).
//
// A workgroup computes one head of one row, TILE positions at a time. First SHARE threads compute the score of a position; then
// GROUPS groups of COLUMNS threads sum the values, each group every GROUPS-th position, a thread SPANS elements, COLUMNS apart.
// Tiles begin at the row's first visible position, so that a row's result does not depend on what it is batched with. For the same
// reason positions go in chunks, each with a softmax of its own, and a merge of chunks in their order: with SPLIT a workgroup
// computes one chunk alone, dst holds what attention_merge.wgsl merges by the same operations, and the bits are the same.
// #import grid
// #import element
// #import tanh
@group(0) @binding(0) var<storage, read> q: array<Element>;          // [rows, heads, key_dim]
@group(0) @binding(1) var<storage, read> keys: array<Element>;       // [positions, key_stride], KV head h from h*key_dim on
@group(0) @binding(2) var<storage, read> values: array<Element>;     // [positions, value_stride], KV head h from h*value_dim on
@group(0) @binding(3) var<storage, read> sinks: array<f32>;          // [heads], if has_sinks
@group(0) @binding(4) var<storage, read_write> dst: array<Element>;  // [rows, heads, value_dim]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 256u;
const TILE: u32 = 64u;
const SHARE: u32 = THREADS / TILE;
const COLUMNS: u32 = 32u;
const GROUPS: u32 = THREADS / COLUMNS;
const SPANS: u32 = 1u;            // value_dim <= SPANS * COLUMNS * WIDTH
const KEY_LIMIT: u32 = 1024u;     // key_dim <= KEY_LIMIT
const KEY_ELEMENTS: u32 = KEY_LIMIT / WIDTH;
const STEP: u32 = 8u;             // positions that a thread looks at to find the tile's top score and its sum
const STEPS: u32 = TILE / STEP;
const LOWEST: f32 = -3.0e38;
const SPLIT: u32 = 0u;
const CHUNK: u32 = 128u;          // positions

struct Params {
  rows: u32,
  start: u32,
  heads: u32,
  group: u32,          // heads per KV head
  key_dim: u32,
  value_dim: u32,
  key_stride: u32,
  value_stride: u32,
  scale: f32,
  window: u32,         // 0: none
  soft_cap: f32,       // 0: none
  has_sinks: u32,
  chunks: u32,         // with SPLIT: the most that a row has
}

var<workgroup> query: array<Element, KEY_ELEMENTS>;
var<workgroup> dots: array<f32, THREADS>;     // [position of the tile, share]
var<workgroup> scores: array<f32, TILE>;
var<workgroup> weights: array<f32, TILE>;     // exp(score - top)
var<workgroup> tops: array<f32, STEPS>;       // of STEP scores
var<workgroup> totals: array<f32, STEPS>;     // of STEP weights
var<workgroup> sums: array<Element, THREADS>; // [group, column]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let number = group_number(group, groups);
  var g = number;
  var chunk = 0u;
  if (SPLIT == 1u) {
    g = number / p.chunks;
    chunk = number % p.chunks;
  }
  if (g >= p.rows * p.heads) { return; }
  let h = g % p.heads;
  let end = p.start + g / p.heads + 1u; // positions that the row sees end here
  var begin = 0u;
  if (p.window > 0u && end > p.window) { begin = end - p.window; }
  let key_elements = p.key_dim / WIDTH;
  let value_elements = p.value_dim / WIDTH;
  let key_at = (h / p.group) * key_elements;
  let value_at = (h / p.group) * value_elements;

  for (var c = t; c < key_elements; c += THREADS) { query[c] = q[g * key_elements + c]; }
  workgroupBarrier();

  // Of all chunks so far, or with SPLIT of none: these see the same operations as in attention_merge.wgsl.
  var all_top = LOWEST;
  var all_sum = 0.0;
  if (p.has_sinks != 0u) {
    all_top = sinks[h];
    all_sum = 1.0;
  }
  var all: array<Element, SPANS>; // of columns s*COLUMNS + t, t < COLUMNS
  for (var s = 0u; s < SPANS; s++) { all[s] = Element(0.0); }
  var lead = begin + chunk * CHUNK;
  if (lead >= end) { return; } // with SPLIT: the row has fewer chunks than others
  for (; lead < end; lead += CHUNK) {
    let stop = min(end, lead + CHUNK);
    var top = LOWEST; // of the chunk's scores so far
    var sum = 0.0;    // of exp(score - top)
    var acc: array<Element, SPANS>;
    for (var s = 0u; s < SPANS; s++) { acc[s] = Element(0.0); }
    for (var tile = lead; tile < stop; tile += TILE) {
      let seen = min(TILE, stop - tile);
      var dot_share = Element(0.0);
      if (t / SHARE < seen) {
        let k = (tile + t / SHARE) * (p.key_stride / WIDTH) + key_at;
        for (var c = t % SHARE; c < key_elements; c += SHARE) { dot_share = fma(query[c], keys[k + c], dot_share); }
      }
      dots[t] = total(dot_share);
      workgroupBarrier();
      if (t < TILE) {
        var score = 0.0;
        for (var k = 0u; k < SHARE; k++) { score += dots[t * SHARE + k]; }
        score *= p.scale;
        if (p.soft_cap > 0.0) { score = p.soft_cap * hyperbolic_tangent(score / p.soft_cap); }
        scores[t] = select(LOWEST, score, t < seen);
      }
      workgroupBarrier();
      if (t < STEPS) {
        var most = LOWEST;
        for (var m = t * STEP; m < (t + 1u) * STEP; m++) { most = max(most, scores[m]); }
        tops[t] = most;
      }
      workgroupBarrier();
      var next = top;
      for (var k = 0u; k < STEPS; k++) { next = max(next, tops[k]); }
      if (t < TILE) { weights[t] = select(0.0, exp(scores[t] - next), t < seen); }
      workgroupBarrier();
      if (t < STEPS) {
        var part = 0.0;
        for (var m = t * STEP; m < (t + 1u) * STEP; m++) { part += weights[m]; }
        totals[t] = part;
      }
      workgroupBarrier();
      let shrink = exp(top - next);
      top = next;
      sum = fma(sum, shrink, totals[0]);
      for (var k = 1u; k < STEPS; k++) { sum += totals[k]; }
      for (var s = 0u; s < SPANS; s++) {
        let c = s * COLUMNS + t % COLUMNS;
        if (c < value_elements) {
          var a = acc[s] * shrink;
          for (var m = t / COLUMNS; m < seen; m += GROUPS) {
            a = fma(Element(weights[m]), values[(tile + m) * (p.value_stride / WIDTH) + value_at + c], a);
          }
          acc[s] = a;
        }
      }
      // Whatever the next tile writes has at least one of its barriers, or one of these, between it and the reads above.
    }
    let next_top = max(all_top, top);
    let keep = exp(all_top - next_top);
    let join = exp(top - next_top);
    for (var s = 0u; s < SPANS; s++) {
      workgroupBarrier();
      sums[t] = acc[s];
      workgroupBarrier();
      if (t < COLUMNS) {
        var v = sums[t];
        for (var k = 1u; k < GROUPS; k++) { v += sums[k * COLUMNS + t]; }
        if (SPLIT == 1u) {
          let c = s * COLUMNS + t;
          if (c < value_elements) { dst[number * (value_elements + 2u) + 2u + c] = v; }
        } else {
          all[s] = fma(v, Element(join), all[s] * keep);
        }
      }
    }
    if (SPLIT == 1u) {
      if (t == 0u) {
        dst[number * (value_elements + 2u)] = Element(top);
        dst[number * (value_elements + 2u) + 1u] = Element(sum);
      }
      return;
    }
    all_sum = fma(sum, join, all_sum * keep);
    all_top = next_top;
  }
  for (var s = 0u; s < SPANS; s++) {
    let c = s * COLUMNS + t;
    if (t < COLUMNS && c < value_elements) { dst[g * value_elements + c] = all[s] / all_sum; }
  }
}
