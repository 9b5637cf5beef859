// The pre-activation is stored for the gradients, in the layout of the output.

@group(0) @binding(6) var<storage, read_write> pre_activation: array<Stored>;

fn store_pre_activation(at: u32, z: Sum) {
    pre_activation[params.skips.pre_activation + at] = stored(z);
}
