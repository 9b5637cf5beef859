// The input as stored.

fn load_input(at: u32) -> Sum {
    return loaded(input[at]);
}

/// Adds an element to a sum.
fn add_input(at: u32, sum: Sum) -> Sum {
    return sum + load_input(at);
}
