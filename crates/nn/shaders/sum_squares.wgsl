// Sum of squares. One workgroup per split of the elements.
// use: stored, sum_split

@group(0) @binding(1) var<storage, read> input: array<Stored>;

fn add_term(i: u32, sum: Sum) -> Sum {
    return fma(loaded(input[i]), loaded(input[i]), sum);
}

@compute @workgroup_size(LANES)
fn sum_squares(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    sum_split(workgroup, lane);
}
