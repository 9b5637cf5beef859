// Gradients of batch normalisation, last pass: the gradient of the input (Ioffe, Szegedy: Batch Normalization, ICML
// 2015, section 3).
// use: batch_norm/activation_gradient/*, batch_norm/correction/*, batch_norm/gamma, batch_norm/params, batch_norm/statistics
// use: element, stored

@group(0) @binding(5) var<storage, read> output_gradient: array<Stored>;
@group(0) @binding(7) var<storage, read_write> input_gradient: array<Stored>;

@compute @workgroup_size(LANES)
fn batch_back(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let channel = channel_of(i);
    let dz = corrected(before_activation(loaded(output_gradient[i]), i, channel), i, channel);
    input_gradient[i] = stored(loaded(gamma[channel]) * inverse_deviation(channel) * dz);
}
