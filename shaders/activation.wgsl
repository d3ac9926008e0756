// The nonlinearity of a gated FFN: kind 0 silu, 1 gelu_tanh, 2 swiglu_oai.
// #import tanh
fn sigmoid(v: f32) -> f32 { return 1.0 / (1.0 + exp(-v)); }

fn activate(kind: u32, g: f32, u: f32) -> f32 {
  if (kind == 0u) { return g * sigmoid(g) * u; }
  if (kind == 1u) { return 0.5 * g * (1.0 + hyperbolic_tangent(0.7978845608 * (g + 0.044715 * g * g * g))) * u; }
  let low = min(g, 7.0);
  return (clamp(u, -7.0, 7.0) + 1.0) * low * sigmoid(1.702 * low);
}
