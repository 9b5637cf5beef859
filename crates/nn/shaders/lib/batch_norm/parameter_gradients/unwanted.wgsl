// Nobody needs the gradients of gamma and beta.

fn store_parameter_gradients(channel: u32, gamma: Sum, beta: Sum) {}
