// Second pass of a split sum: adds the partial sums of all splits, in order of their index.
// use: workgroup, operands, output_tensor

struct Params {
    @align(16) skips: Skips,
    @align(16) partials: Partials,
}

struct Partials {
    /// Values of a split, in rows of `row_length`.
    values: u32,
    row_length: u32,
    splits: u32,
    /// Elements of the output from one row to the next.
    out_row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;

@compute @workgroup_size(LANES)
fn sum_partials(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let partials = params.partials;
    let value = index_of(workgroup) * LANES + lane;
    if (value >= partials.values) {
        return;
    }
    var sum = Sum(0);
    for (var split = 0u; split < partials.splits; split++) {
        sum += loaded(input[params.skips.input + split * partials.values + value]);
    }
    let out = params.skips.output + value / partials.row_length * partials.out_row + value % partials.row_length;
    output[out] = stored(sum);
}
