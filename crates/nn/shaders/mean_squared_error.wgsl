// Mean squared error, and its gradient. One workgroup per split of the elements.
// use: stored, sum_split

@group(0) @binding(1) var<storage, read> prediction: array<Stored>;
@group(0) @binding(2) var<storage, read> target_values: array<Stored>;
@group(0) @binding(3) var<storage, read_write> prediction_gradient: array<Stored>;

/// Adds the loss of an element. Stores its gradient.
fn add_term(i: u32, sum: Sum) -> Sum {
    let error = loaded(prediction[i]) - loaded(target_values[i]);
    prediction_gradient[i] = stored(2.0 * error / Sum(params.count));
    return sum + error * error / Sum(params.count);
}

@compute @workgroup_size(LANES)
fn mean_squared_error(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    sum_split(workgroup, lane);
}
