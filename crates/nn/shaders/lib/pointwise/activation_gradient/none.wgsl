// The gradient before the activation, where there is none.

fn before_activation(dy: Sum, i: u32) -> Sum {
    return dy;
}
