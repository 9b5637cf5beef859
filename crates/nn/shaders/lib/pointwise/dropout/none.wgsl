// No dropout.

fn with_dropout(z: Sum, i: u32) -> Sum {
    return z;
}
