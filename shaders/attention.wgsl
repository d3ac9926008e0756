// Causal attention of consecutive positions of one sequence over its cache, by online softmax (Milakov and Gimelshein 2018).
//
//   dst[i, h] = sum over p of softmax_p(q[i, h] . k[p, h/group] * scale) * v[p, h/group]
//
// Row i sees positions p <= start + i and, with a window, p > start + i - window. A sink adds exp(sink) to the denominator. With
// soft_cap > 0 a score becomes soft_cap * tanh(score / soft_cap).
//
// A workgroup computes one head of one row, THREADS positions at a time: first a thread computes the score of one position, then
// it sums up to SPANS elements of the value, THREADS apart. Tiles begin at the row's first visible position, so that a row's
// result does not depend on what it is batched with.
// #import grid
// #import element
// #import sum
// #import max
// #import tanh
@group(0) @binding(0) var<storage, read> q: array<Element>;        // [rows, heads, key_dim]
@group(0) @binding(1) var<storage, read> keys: array<Element>;     // [positions, key_stride], KV head h from h*key_dim on
@group(0) @binding(2) var<storage, read> values: array<f32>;       // [positions, value_stride], KV head h from h*value_dim on
@group(0) @binding(3) var<storage, read> sinks: array<f32>;        // [heads], if has_sinks
@group(0) @binding(4) var<storage, read_write> dst: array<f32>;    // [rows, heads, value_dim]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;
const SPANS: u32 = 2u;          // value_dim <= SPANS * THREADS
const KEY_LIMIT: u32 = 1024u;   // key_dim <= KEY_LIMIT
const KEY_ELEMENTS: u32 = KEY_LIMIT / WIDTH;
const LOWEST: f32 = -3.0e38;

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
}

var<workgroup> query: array<Element, KEY_ELEMENTS>;
var<workgroup> weight: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group_number(group, groups);
  if (g >= p.rows * p.heads) { return; }
  let h = g % p.heads;
  let end = p.start + g / p.heads + 1u; // positions that the row sees end here
  var begin = 0u;
  if (p.window > 0u && end > p.window) { begin = end - p.window; }
  let key_at = (h / p.group) * p.key_dim;
  let value_at = (h / p.group) * p.value_dim;

  for (var c = t; c < p.key_dim / WIDTH; c += THREADS) { query[c] = q[g * (p.key_dim / WIDTH) + c]; }
  workgroupBarrier();

  var top = LOWEST; // of the scores so far
  var sum = 0.0;    // of exp(score - top)
  if (p.has_sinks != 0u) {
    top = sinks[h];
    sum = 1.0;
  }
  var acc: array<f32, SPANS>;
  for (var s = 0u; s < SPANS; s++) { acc[s] = 0.0; }

  for (var tile = begin; tile < end; tile += THREADS) {
    var score = LOWEST;
    if (tile + t < end) {
      let k = ((tile + t) * p.key_stride + key_at) / WIDTH;
      var dots = Element(0.0);
      for (var c = 0u; c < p.key_dim / WIDTH; c++) { dots = fma(query[c], keys[k + c], dots); }
      score = total(dots) * p.scale;
      if (p.soft_cap > 0.0) { score = p.soft_cap * hyperbolic_tangent(score / p.soft_cap); }
    }
    let next = max(top, workgroup_max(t, score));
    let share = select(0.0, exp(score - next), tile + t < end);
    weight[t] = share;
    let shrink = exp(top - next);
    sum = fma(sum, shrink, workgroup_sum(t, share)); // its barriers publish weight as well
    top = next;
    let seen = min(THREADS, end - tile);
    for (var s = 0u; s < SPANS; s++) {
      let c = s * THREADS + t;
      if (c < p.value_dim) {
        var a = acc[s] * shrink;
        for (var m = 0u; m < seen; m++) { a = fma(weight[m], values[(tile + m) * p.value_stride + value_at + c], a); }
        acc[s] = a;
      }
    }
    // workgroup_max of the next tile has a barrier before weight is written again.
  }
  for (var s = 0u; s < SPANS; s++) {
    let c = s * THREADS + t;
    if (c < p.value_dim) { dst[g * p.value_dim + c] = acc[s] / sum; }
  }
}
