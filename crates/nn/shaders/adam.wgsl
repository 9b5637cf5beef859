// A step of Adam (Kingma, Ba: Adam, ICLR 2015) or AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization,
// ICLR 2019), as in torch.optim. The host computes the bias correction in double precision.
// use: element, optimizer/clipping/*, optimizer/settings, stored

// 1 if the weight decay is decoupled from the gradient. Set by the program.
const DECOUPLED: u32 = 0u;

struct Params {
    /// Elements.
    count: u32,
    /// Index of the parameter group.
    group: u32,
    beta1: f32,
    beta2: f32,
    /// 1 - beta1 and 1 - beta2, computed on the host: the subtraction would lose digits in f32.
    rest1: f32,
    rest2: f32,
    epsilon: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> gradients: array<Stored>;
@group(0) @binding(4) var<storage, read_write> parameters: array<Stored>;
@group(0) @binding(5) var<storage, read_write> means: array<Stored>;
@group(0) @binding(6) var<storage, read_write> squares: array<Stored>;

@compute @workgroup_size(LANES)
fn adam(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    let i = element(workgroup, lane);
    if (i >= params.count) {
        return;
    }
    let step_size = setting(1u);
    let square_scale = setting(2u);
    var gradient = clipped(loaded(gradients[i]));
    var parameter = loaded(parameters[i]);
    if (DECOUPLED == 1u) {
        parameter -= learning_rate() * params.weight_decay * parameter;
    } else {
        gradient += params.weight_decay * parameter;
    }
    let mean = params.beta1 * loaded(means[i]) + params.rest1 * gradient;
    let square = params.beta2 * loaded(squares[i]) + params.rest2 * gradient * gradient;
    means[i] = stored(mean);
    squares[i] = stored(square);
    // A parameter that never had a gradient does not change, even with an epsilon of 0.
    let step = select(step_size * mean / (sqrt(square) * square_scale + params.epsilon), 0.0, mean == 0.0);
    parameters[i] = stored(parameter - step);
}
