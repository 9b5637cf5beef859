// Tensors hold elements of the type Stored. Shaders compute with the type Sum.

fn loaded(value: Stored) -> Sum {
    return Sum(value);
}

fn stored(value: Sum) -> Stored {
    return Stored(value);
}
