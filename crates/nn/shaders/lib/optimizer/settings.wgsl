// The numbers of a group of parameters that change from step to step. The host writes them before each step.
// use: stored

/// Of each group: the learning rate, and for Adam the step size and the factor of the root, which correct for the first steps.
@group(0) @binding(1) var<storage, read> settings: array<Stored>;

/// A number of the group of this dispatch. The kernel's parameters have `group`.
fn setting(index: u32) -> Sum {
    return loaded(settings[4u * params.group + index]);
}

fn learning_rate() -> Sum {
    return setting(0u);
}
