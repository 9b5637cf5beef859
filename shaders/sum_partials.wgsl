// Second pass of a split sum: adds the partial sums of all splits as a tree.
//
// A workgroup computes SUMS values. The other invocations share the splits of these values: invocations SUMS apart take the splits in
// turn, add them in blocks, and their sums are added pairwise. In the rounds after the first, the sums are added to the output.
// use: workgroup, operands, output_tensor, scalar_terms, sum_lanes

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

/// Index of the value of the first split.
var<private> first_split: u32;

fn add_term(split: u32, sum: Sum) -> Sum {
    return sum + loaded(input[first_split + split * params.partials.values]);
}

@compute @workgroup_size(LANES)
fn sum_partials(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let partials = params.partials;
    let value = index_of(workgroup) * SUMS + lane % SUMS;
    first_split = params.skips.input + value;
    var sum = Sum(0);
    if (value < partials.values) {
        sum = sum_terms(lane / SUMS, partials.splits, LANES / SUMS);
    }
    // Without sharing there is nothing to add up, and no barrier.
    if (SUMS < LANES) {
        sum = sum_lanes(lane, sum);
    }
    if (lane < SUMS && value < partials.values) {
        let out = params.skips.output + value / partials.row_length * partials.out_row + value % partials.row_length;
        if (ACCUMULATE == 1u) {
            sum += loaded(output[out]);
        }
        output[out] = stored(sum);
    }
}
