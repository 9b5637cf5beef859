// What goes into the activation is not kept.

fn store_pre_activation(at: u32, z: Sum) {
}
