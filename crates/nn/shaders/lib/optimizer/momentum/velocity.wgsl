// Descent along a velocity, as in torch.optim.SGD. Reads `momentum` of the kernel's parameters.
// use: stored

// 1 for Nesterov momentum. Set by the program.
const NESTEROV: u32 = 0u;

@group(0) @binding(5) var<storage, read_write> velocities: array<Stored>;

fn direction(gradient: Sum, i: u32) -> Sum {
    let velocity = params.momentum * loaded(velocities[i]) + gradient;
    velocities[i] = stored(velocity);
    return select(velocity, gradient + params.momentum * velocity, NESTEROV == 1u);
}
