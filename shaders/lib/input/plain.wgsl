// The input as it is stored.

fn load_input(at: u32) -> Sum {
    return loaded(input[at]);
}

/// A sum and an element.
fn add_input(at: u32, sum: Sum) -> Sum {
    return sum + load_input(at);
}
