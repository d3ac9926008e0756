// Sums one value per thread over the workgroup, by the same tree every time. THREADS is a power of two.
var<workgroup> terms: array<f32, THREADS>;

fn workgroup_sum(t: u32, v: f32) -> f32 {
  workgroupBarrier(); // the last sum has been read by all
  terms[t] = v;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (t < step) { terms[t] += terms[t + step]; }
  }
  workgroupBarrier();
  return terms[0];
}
