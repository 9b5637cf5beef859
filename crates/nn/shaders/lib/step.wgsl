// The number of the step, which the host writes before each: it decides the random numbers of dropout and the place of the loss.

@group(0) @binding(1) var<storage, read> step: array<u32>;

fn step_number() -> u32 {
    return step[0];
}
