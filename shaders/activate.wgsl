// The nonlinearity of a gated FFN.
//
//   silu:        dst = gate * sigmoid(gate) * up
//   gelu_tanh:   dst = gate/2 * (1 + tanh(sqrt(2/pi) (gate + 0.044715 gate^3))) * up
//   swiglu_oai:  dst = (u + 1) * g * sigmoid(1.702 g)   with g = min(gate, 7), u = clamp(up, -7, 7)
//
// A thread computes one element.
// #import grid
// #import activation
@group(0) @binding(0) var<storage, read> gate: array<f32>;       // [n]
@group(0) @binding(1) var<storage, read> up: array<f32>;         // [n]
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;  // [n]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 64u;

struct Params {
  n: u32,
  kind: u32, // 0 silu, 1 gelu_tanh, 2 swiglu_oai
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group_number(group, groups) * THREADS + t;
  if (i >= p.n) { return; }
  dst[i] = activate(p.kind, gate[i], up[i]);
}
