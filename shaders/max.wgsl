// The largest of one value per thread of the workgroup. THREADS is a power of two.
var<workgroup> rivals: array<f32, THREADS>;

fn workgroup_max(t: u32, v: f32) -> f32 {
  workgroupBarrier(); // the last result has been read by all
  rivals[t] = v;
  for (var step = THREADS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (t < step) { rivals[t] = max(rivals[t], rivals[t + step]); }
  }
  workgroupBarrier();
  return rivals[0];
}
