// The pre-activation is not stored.

fn store_pre_activation(at: u32, z: Sum) {
}
