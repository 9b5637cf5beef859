// The epilogue: operations on a sum before it is stored, and the store.
// use: output_tensor, bias/*, residual/*, pre_activation/*, finish/*

/// Index of the first output of a phase, in the first row of a batch item and a group.
fn output_at(n: u32, group: u32, phase: Phase) -> u32 {
    return params.skips.output + params.output.base + n * params.output.batch + group * params.output.group + phase.out_first;
}

/// The start value of a sum: the bias, or the sum over earlier terms.
fn start_of_sum(at: u32, group: u32, row: u32) -> Sum {
    if (ACCUMULATE == 1u) {
        return loaded(output[at]);
    }
    return bias_of(group, row);
}

/// Stores a sum at index `at`, after the residual and the activation if the sum is complete.
fn store_output(at: u32, sum: Sum) {
    let beside = at - params.skips.output;
    let z = residual_before(beside, sum);
    store_pre_activation(beside, z);
    output[at] = stored(finished(beside, z));
}
