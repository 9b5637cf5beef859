// Adds the input gradient of the padding on one side to the samples that the padding repeats.
// use: workgroup, operands, output_tensor

struct Params {
    @align(16) skips: Skips,
    @align(16) fold: Fold,
}

struct Fold {
    /// Rows (batch x channels), and samples of each row that the padding repeats.
    rows: u32,
    count: u32,
    /// Border samples that are added to one input sample, and the distance between them.
    terms: u32,
    term_step: u32,
    /// First border sample in its row, border samples of a row, and border samples from one input sample's first to the next one's.
    border_first: u32,
    border_length: u32,
    border_step: i32,
    out_length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<Stored>;

@compute @workgroup_size(LANES)
fn fold(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let f = params.fold;
    let index = index_of(workgroup) * LANES + lane;
    if (index >= f.rows * f.count) {
        return;
    }
    let row = index / f.count;
    let i = index % f.count;
    let source = params.skips.input + f.border_first + row * f.border_length + u32(i32(i) * f.border_step);
    let out = params.skips.output + row * f.out_length + i;
    var sum = loaded(output[out]);
    for (var term = 0u; term < f.terms; term++) {
        sum += loaded(input[source + term * f.term_step]);
    }
    output[out] = stored(sum);
}
