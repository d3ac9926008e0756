// tanh v = 1 - 2 / (e^2v + 1), with an error that WGSL's own tanh does not promise and without its overflow on some devices.
fn hyperbolic_tangent(v: f32) -> f32 {
  return 1.0 - 2.0 / (exp(2.0 * clamp(v, -20.0, 20.0)) + 1.0);
}
