// A step of stochastic gradient descent with momentum, as torch.optim.SGD does it.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// 1 where gradients are clipped. Set by the program.
const CLIPPED: u32 = 0u;
// 1 where there is momentum. Set by the program.
const MOMENTUM: u32 = 1u;
// 1 for momentum as Nesterov has it. Set by the program.
const NESTEROV: u32 = 0u;

struct Params {
    /// Elements.
    count: u32,
    momentum: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> clipping: array<Element>;
@group(0) @binding(3) var<storage, read> gradients: array<Element>;
@group(0) @binding(4) var<storage, read_write> parameters: array<Element>;
@group(0) @binding(5) var<storage, read_write> velocities: array<Element>;

@compute @workgroup_size(LANES)
fn sgd(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i >= params.count) {
        return;
    }
    var gradient = gradients[i];
    if (CLIPPED == 1u) {
        gradient *= clipping[0];
    }
    gradient += params.weight_decay * parameters[i];
    var along = gradient;
    if (MOMENTUM == 1u) {
        let velocity = params.momentum * velocities[i] + gradient;
        velocities[i] = velocity;
        along = select(velocity, gradient + params.momentum * velocity, NESTEROV == 1u);
    }
    parameters[i] -= bitcast<f32>(control[1]) * along;
}
