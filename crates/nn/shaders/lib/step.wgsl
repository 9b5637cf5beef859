// The number of the step, written by the host. It determines the dropout masks and the index of the loss.

@group(0) @binding(1) var<storage, read> step: array<u32>;

fn step_number() -> u32 {
    return step[0];
}
