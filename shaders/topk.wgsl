// Chooses k experts for a row of router scores and weighs them.
//
//   kind 0, softmax then top-k:  weight[e] = softmax(scores)[e]
//   kind 1, top-k then softmax:  weight = softmax over the chosen scores
//   kind 2, sigmoid top-k:       weight[e] = sigmoid(scores[e])
//   kind 3, sparse mixer:        see sparse_mixer
//
// Experts rank by their score or, with a bias, by softmax or sigmoid plus bias; of equals the lower number is better. With groups
// > 1 only the experts of the best top_groups equal ranges are candidates: a range ranks by its best candidate (kind 0) or by the
// sum of the gates plus bias of its two best (kind 2). Weights are divided by their sum if renormalise is set, then multiplied
// by scale.
//
// A workgroup computes one row. An expert's place is the number of candidates that are better, counted by one thread.
// #import grid
// #import sum
// #import max
@group(0) @binding(0) var<storage, read> scores: array<f32>;         // [n, experts]
@group(0) @binding(1) var<storage, read> bias: array<f32>;           // [experts], if has_bias
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;      // [n, k]
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;  // [n, k]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 128u;
const LIMIT: u32 = 1024u;  // experts <= LIMIT; k <= LIMIT
const LOWEST: f32 = -3.4e38;

struct Params {
  n: u32,
  experts: u32,
  k: u32,
  kind: u32,
  has_bias: u32,
  renormalise: u32,
  groups: u32,      // at least 1
  top_groups: u32,
  scale: f32,
  jitter: f32,
}

var<workgroup> gates: array<f32, LIMIT>;
var<workgroup> ranks: array<f32, LIMIT>;      // LOWEST for an expert that is no candidate
var<workgroup> group_rank: array<f32, LIMIT>; // [groups]; holds the chosen experts' gates afterwards

// The value of range g: its best rank, or with pairs the sum of gate plus bias of its two best.
fn value_of(g: u32, pairs: bool) -> f32 {
  let size = p.experts / p.groups;
  var best = g * size;
  for (var e = best + 1u; e < (g + 1u) * size; e++) { if (ranks[e] > ranks[best]) { best = e; } }
  if (!pairs) { return ranks[best]; }
  var second = best;
  for (var e = g * size; e < (g + 1u) * size; e++) {
    if (e != best && (second == best || ranks[e] > ranks[second])) { second = e; }
  }
  var value = gate_plus_bias(best);
  if (second != best) { value += gate_plus_bias(second); }
  return value;
}

fn gate_plus_bias(e: u32) -> f32 {
  if (p.has_bias != 0u) { return gates[e] + bias[e]; }
  return gates[e];
}

// Phi-MoE's top-2 gate at inference. Twice: the expert with the largest score m of those left; its weight is its share of a
// softmax over the experts left, without those for which m - s > 2 * jitter * max(|s|, m).
fn sparse_mixer(row: u32) {
  var first = p.experts;
  for (var j = 0u; j < 2u; j++) {
    var top = p.experts;
    for (var e = 0u; e < p.experts; e++) {
      if (e != first && (top == p.experts || ranks[e] > ranks[top])) { top = e; }
    }
    let m = ranks[top];
    var sum = 0.0;
    for (var e = 0u; e < p.experts; e++) {
      let s = ranks[e];
      if (e != first && m - s <= 2.0 * p.jitter * max(abs(s), m)) { sum += exp(s - m); }
    }
    ids[row * p.k + j] = top;
    group_rank[j] = 1.0 / sum;
    first = top;
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group_number(group, groups);
  if (row >= p.n) { return; }
  let begin = row * p.experts;

  var top = LOWEST;
  for (var e = t; e < p.experts; e += THREADS) { top = max(top, scores[begin + e]); }
  top = workgroup_max(t, top);
  var exps = 0.0;
  for (var e = t; e < p.experts; e += THREADS) { exps += exp(scores[begin + e] - top); }
  exps = workgroup_sum(t, exps);
  for (var e = t; e < p.experts; e += THREADS) {
    let s = scores[begin + e];
    var gate = s;
    if (p.kind == 0u) { gate = exp(s - top) / exps; }
    if (p.kind == 2u) { gate = 1.0 / (1.0 + exp(-s)); }
    gates[e] = gate;
    ranks[e] = s;
    if (p.has_bias != 0u && p.kind != 3u) { ranks[e] = gate + bias[e]; }
  }
  workgroupBarrier();

  if (p.groups > 1u) {
    for (var g = t; g < p.groups; g += THREADS) { group_rank[g] = value_of(g, p.kind == 2u); }
    workgroupBarrier();
    for (var g = t; g < p.groups; g += THREADS) {
      var place = 0u;
      for (var o = 0u; o < p.groups; o++) {
        if (group_rank[o] > group_rank[g] || (group_rank[o] == group_rank[g] && o < g)) { place++; }
      }
      let size = p.experts / p.groups;
      if (place >= p.top_groups) {
        for (var e = g * size; e < (g + 1u) * size; e++) { ranks[e] = LOWEST; }
      }
    }
    workgroupBarrier();
  }

  if (p.kind == 3u) {
    if (t == 0u) { sparse_mixer(row); }
  } else {
    for (var e = t; e < p.experts; e += THREADS) {
      let rank = ranks[e];
      var place = 0u;
      for (var o = 0u; o < p.experts; o++) {
        let other = ranks[o];
        if (other > rank || (other == rank && o < e)) { place++; }
      }
      if (place < p.k) {
        ids[row * p.k + place] = e;
        group_rank[place] = gates[e];
      }
    }
  }
  workgroupBarrier();

  if (t == 0u) {
    if (p.kind == 1u) { // the best is first
      var sum = 0.0;
      let best = group_rank[0];
      for (var j = 0u; j < p.k; j++) { sum += exp(group_rank[j] - best); }
      for (var j = p.k; j > 0u; j--) { group_rank[j - 1u] = exp(group_rank[j - 1u] - best) / sum; }
    }
    var sum = 1.0;
    if (p.renormalise != 0u) {
      sum = 0.0;
      for (var j = 0u; j < p.k; j++) { sum += group_rank[j]; }
    }
    for (var j = 0u; j < p.k; j++) { weights[row * p.k + j] = group_rank[j] / sum * p.scale; }
  }
}
