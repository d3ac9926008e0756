// The number of a workgroup in a grid that may be folded into two dimensions, because one dimension ends at 65,535.
fn group_number(group: vec3<u32>, groups: vec3<u32>) -> u32 {
  return group.y * groups.x + group.x;
}
