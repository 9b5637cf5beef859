// A step of Adam (Kingma, Ba: Adam, ICLR 2015), or of AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization, ICLR 2019),
// as torch.optim does it. The host corrects for the bias of the first steps, in double precision.

alias Element = f32;

// Invocations of a workgroup.
const LANES: u32 = 64u;
// 1 where gradients are clipped. Set by the program.
const CLIPPED: u32 = 0u;
// 1 where the weight decay is decoupled from the gradient. Set by the program.
const DECOUPLED: u32 = 0u;

struct Params {
    /// Elements.
    count: u32,
    beta1: f32,
    beta2: f32,
    /// 1 - beta1 and 1 - beta2, which would lose digits if they were computed here.
    rest1: f32,
    rest2: f32,
    epsilon: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> clipping: array<Element>;
@group(0) @binding(3) var<storage, read> gradients: array<Element>;
@group(0) @binding(4) var<storage, read_write> parameters: array<Element>;
@group(0) @binding(5) var<storage, read_write> means: array<Element>;
@group(0) @binding(6) var<storage, read_write> squares: array<Element>;

@compute @workgroup_size(LANES)
fn adam(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (workgroup.x + workgroup.y * workgroups.x) * LANES + lane;
    if (i >= params.count) {
        return;
    }
    let rate = bitcast<f32>(control[1]);
    let step_size = bitcast<f32>(control[2]);
    let square_scale = bitcast<f32>(control[3]);
    var gradient = gradients[i];
    if (CLIPPED == 1u) {
        gradient *= clipping[0];
    }
    var parameter = parameters[i];
    if (DECOUPLED == 1u) {
        parameter -= rate * params.weight_decay * parameter;
    } else {
        gradient += params.weight_decay * parameter;
    }
    let mean = params.beta1 * means[i] + params.rest1 * gradient;
    let square = params.beta2 * squares[i] + params.rest2 * gradient * gradient;
    means[i] = mean;
    squares[i] = square;
    // What never had a gradient stays, with an epsilon of 0 too.
    let step = select(step_size * mean / (sqrt(square) * square_scale + params.epsilon), 0.0, mean == 0.0);
    parameters[i] = parameter - step;
}
