// Activations of any row length and offset, read one by one.
alias X = f32;

// Elements 4*at to 4*at+3 of the row that starts at element row; zeros from element cols on.
fn x_at(row: u32, at: u32, cols: u32) -> vec4<f32> {
  var v = vec4<f32>(0.0);
  for (var i = 0u; i < 4u; i++) {
    if (at * 4u + i < cols) { v[i] = x[row + at * 4u + i]; }
  }
  return v;
}
