// Sorts slots by expert, for experts_block.wgsl.
//
// order becomes [blocks, 4]: expert, first place, places of at most size slots of one expert, 0 places for blocks that are not
// needed; then the slots by place. Slots whose id is count or more come last, as those of expert count. Within an expert the
// order is any. One workgroup does it all.
@group(0) @binding(0) var<storage, read> ids: array<u32>;          // [slots]
@group(0) @binding(1) var<storage, read_write> order: array<u32>;  // [4*blocks + slots]
@group(0) @binding(7) var<uniform> p: Params;

const THREADS: u32 = 256u;
const LIMIT: u32 = 1025u; // count < LIMIT

struct Params {
  slots: u32,
  count: u32,   // experts
  blocks: u32,  // at least slots/size + count + 1
  size: u32,
}

var<workgroup> counts: array<atomic<u32>, LIMIT>;
var<workgroup> used: u32; // blocks

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) t: u32) {
  for (var e = t; e <= p.count; e += THREADS) { atomicStore(&counts[e], 0u); }
  workgroupBarrier();
  for (var s = t; s < p.slots; s += THREADS) { atomicAdd(&counts[min(ids[s], p.count)], 1u); }
  workgroupBarrier();
  var begins: array<u32, 5>;
  for (var k = 0u; k < 5u; k++) {
    let e = k * THREADS + t;
    if (e <= p.count) {
      var begin = 0u;
      var number = 0u;
      for (var o = 0u; o < e; o++) {
        let n = atomicLoad(&counts[o]);
        begin += n;
        number += (n + p.size - 1u) / p.size;
      }
      begins[k] = begin;
      let n = atomicLoad(&counts[e]);
      for (var place = 0u; place < n; place += p.size) {
        order[4u * number] = e;
        order[4u * number + 1u] = begin + place;
        order[4u * number + 2u] = min(p.size, n - place);
        number++;
      }
      if (e == p.count) { used = number; }
    }
  }
  workgroupBarrier();
  for (var k = 0u; k < 5u; k++) {
    let e = k * THREADS + t;
    if (e <= p.count) { atomicStore(&counts[e], begins[k]); }
  }
  for (var b = used + t; b < p.blocks; b += THREADS) { order[4u * b + 2u] = 0u; }
  workgroupBarrier();
  for (var s = t; s < p.slots; s += THREADS) {
    let to = atomicAdd(&counts[min(ids[s], p.count)], 1u);
    order[4u * p.blocks + to] = s;
  }
}
