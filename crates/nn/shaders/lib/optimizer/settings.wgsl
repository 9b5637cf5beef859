// Settings of the parameter groups that change from step to step. The host writes them before each step.
// use: stored

/// For each group: the learning rate and, for Adam, the step size and the factor of the root, both with bias
/// correction.
@group(0) @binding(1) var<storage, read> settings: array<Stored>;

/// A setting of this dispatch's group, which is `group` in the kernel's parameters.
fn setting(index: u32) -> Sum {
    return loaded(settings[4u * params.group + index]);
}

fn learning_rate() -> Sum {
    return setting(0u);
}
