// Descent along a velocity, as torch.optim.SGD has it. Of the kernel's parameters it reads `momentum`.
// use: stored

// 1 for momentum as Nesterov has it. Set by the program.
const NESTEROV: u32 = 0u;

@group(0) @binding(5) var<storage, read_write> velocities: array<Stored>;

fn direction(gradient: Sum, i: u32) -> Sum {
    let velocity = params.momentum * loaded(velocities[i]) + gradient;
    velocities[i] = stored(velocity);
    return select(velocity, gradient + params.momentum * velocity, NESTEROV == 1u);
}
