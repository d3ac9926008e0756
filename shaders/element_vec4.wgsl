// Queries, keys and values read 4 elements at a time: dimensions and strides are multiples of 4.
alias Element = vec4<f32>;
const WIDTH: u32 = 4u;

fn total(v: Element) -> f32 { return (v.x + v.y) + (v.z + v.w); }

fn first(v: Element) -> f32 { return v.x; }
