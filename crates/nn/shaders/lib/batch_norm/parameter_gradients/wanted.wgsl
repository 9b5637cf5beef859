// The gradients of gamma and beta.
// use: stored

@group(0) @binding(2) var<storage, read_write> gamma_gradient: array<Stored>;
@group(0) @binding(3) var<storage, read_write> beta_gradient: array<Stored>;

fn store_parameter_gradients(channel: u32, gamma: Sum, beta: Sum) {
    gamma_gradient[channel] = stored(gamma);
    beta_gradient[channel] = stored(beta);
}
