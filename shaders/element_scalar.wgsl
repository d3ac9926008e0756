// Queries, keys and values read one element at a time.
alias Element = f32;
const WIDTH: u32 = 1u;

fn total(v: Element) -> f32 { return v; }

fn first(v: Element) -> f32 { return v; }
