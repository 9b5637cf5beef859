// What the host sets before each step: the step's number, the learning rate and, for Adam, what corrects for the first steps.

@group(0) @binding(1) var<storage, read> control: array<u32>;

fn step_number() -> u32 {
    return control[0];
}

fn learning_rate() -> f32 {
    return control_value(1u);
}

/// A word of the control tensor that holds an f32.
fn control_value(word: u32) -> f32 {
    return bitcast<f32>(control[word]);
}
