// A step of stochastic gradient descent with momentum, as in torch.optim.SGD.
// use: element, optimizer/clipping/*, optimizer/momentum/*, optimizer/settings, stored

struct Params {
    /// Elements.
    count: u32,
    /// Index of the parameter group.
    group: u32,
    momentum: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> gradients: array<Stored>;
@group(0) @binding(4) var<storage, read_write> parameters: array<Stored>;

@compute @workgroup_size(LANES)
fn sgd(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let parameter = loaded(parameters[i]);
    let gradient = clipped(loaded(gradients[i])) + params.weight_decay * parameter;
    parameters[i] = stored(parameter - learning_rate() * direction(gradient, i));
}
