// Activations whose rows and offsets are multiples of 4 elements, read 4 at a time.
alias X = vec4<f32>;

// Elements 4*at to 4*at+3 of the row that starts at element row; zeros from element cols on.
fn x_at(row: u32, at: u32, cols: u32) -> vec4<f32> {
  if (at * 4u >= cols) { return vec4<f32>(0.0); }
  return x[row / 4u + at];
}
