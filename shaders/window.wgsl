// Correlation with a register window. A workgroup stages the samples under its positions in workgroup memory; every invocation
// slides a window of them past the taps of a tile of rows x positions, and reads one new sample a tap. The packed weights are read
// at addresses that all invocations share.

alias Element = f32;

// Output rows and positions of one invocation. Rows are whole vectors of four, or one. An odd number of positions keeps neighbouring
// invocations in different banks. Set by the plan.
const TILE_ROWS: u32 = 16u;
const TILE_POSITIONS: u32 = 7u;
// Taps that the sums are unrolled over, and 1 where they are whole runs of taps, 1 where they leave taps over. Set by the plan.
const UNROLLED: u32 = 3u;
const WHOLE: u32 = 1u;
const REST: u32 = 0u;
// 1 where positions that share samples are neighbours. Set by the plan.
const ADJACENT: u32 = 1u;
// Samples that are staged at once: half of the workgroup memory that WebGPU promises, so that enough workgroups are in flight.
const STAGED: u32 = 2048u;
// 1 where the output already holds the sum over earlier input rows. Set by the plan.
const ACCUMULATE: u32 = 0u;
// What is read beyond the ends of an input row: one of the modes below. Set by the plan.
const EXTENSION: u32 = 0u;
// 1 where the padding is longer than one repetition of the input. Set by the plan.
const REPEATED: u32 = 0u;
const ZEROS: u32 = 0u;
const CONSTANT: u32 = 1u;
const REFLECT: u32 = 2u;
const SYMMETRIC: u32 = 3u;
const CIRCULAR: u32 = 4u;
const REPLICATE: u32 = 5u;
// What is applied to the sums, once they are complete: one of the activations below. Set by the plan.
const ACTIVATION: u32 = 0u;
// Where a residual is added: nowhere, before the activation or after it. Set by the plan.
const RESIDUAL: u32 = 0u;
const BEFORE: u32 = 1u;
const AFTER: u32 = 2u;
// 1 where what goes into the activation may be stored too. Set by the plan.
const PRE_ACTIVATION: u32 = 0u;
// The activation whose derivative the input is multiplied by. Set by the plan.
const DERIVATIVE: u32 = 0u;
// 1 where the derivative is taken at what went into the activation; otherwise at what came out of it. Set by the plan.
const SAVED_INPUT: u32 = 0u;
const IDENTITY: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY_RELU: u32 = 2u;
const SILU: u32 = 3u;
const GELU: u32 = 4u;
const TANH: u32 = 5u;
const SIGMOID: u32 = 6u;

const LANES: u32 = 64u;
const VECTORS: u32 = (TILE_ROWS + 3u) / 4u;
const POSITIONS: u32 = LANES * TILE_POSITIONS;
// Output rows whose sums pass through workgroup memory at once.
const STORED_ROWS: u32 = STAGED / POSITIONS;

/// Outputs that are reached by the same taps: every `out_step`-th of a row.
struct Phase {
    /// Position of the first output in its row.
    out_first: u32,
    /// Number of outputs.
    count: u32,
    /// Input position that the first output and the first tap meet at.
    in_first: i32,
    /// Index of the first tap in the kernel.
    tap_first: u32,
    /// Number of taps; may be 0.
    taps: u32,
    /// Number of taps of all phases before this one: where its packed weights start.
    taps_before: u32,
}

/// One piece of a correlation. Offsets count elements and may wrap: only their sums are indices.
struct Params {
    /// Workgroups that have work; the dispatch may be larger.
    workgroups: u32,
    batch: u32,
    groups: u32,
    /// Output rows of a group, and tiles of them.
    rows: u32,
    row_tiles: u32,
    /// Input rows that an output row sums over.
    depth: u32,
    phases: u32,
    /// Positions of every phase that this piece computes.
    position_first: u32,
    position_end: u32,
    /// Positions from one of a tile to the next; blocks of positions along them, and between them.
    spacing: u32,
    blocks: u32,
    between_blocks: u32,
    /// Neighbouring positions that go to neighbouring invocations, a power of two: its logarithm.
    width_shift: u32,
    /// Runs of taps, and taps of each, that are staged at once, and samples of a staged run.
    stage_runs: u32,
    stage_taps: u32,
    stage_samples: u32,
    in_base: u32,
    in_batch: u32,
    in_group: u32,
    in_length: u32,
    /// Positions of an input row that the piece's outputs need, and that are there to read.
    touched_first: i32,
    touched: u32,
    /// Input positions from one output position to the next, and from one tap to the next in ascending order.
    in_step: i32,
    tap_step: i32,
    /// 1 where the taps of the kernel are in descending order, and then what their last is from the first.
    reversed: u32,
    tap_back: i32,
    /// Taps from one sample to the next that a tile shares with its neighbour.
    period: u32,
    bias_base: u32,
    bias_group: u32,
    /// 1 where there is a bias to start from.
    has_bias: u32,
    out_base: u32,
    out_batch: u32,
    out_group: u32,
    out_row: u32,
    out_step: u32,
    /// The value of constant padding.
    fill: f32,
    residual_base: u32,
    pre_activation_base: u32,
    /// 1 where what goes into the activation is stored too.
    has_pre_activation: u32,
    /// Where what the derivative is taken at starts; it lies as what is multiplied by it does.
    saved_base: u32,
    /// Slope of the leaky ReLU for negative values.
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> phases: array<Phase>;
@group(0) @binding(2) var<storage, read> input: array<Element>;
// Per phase, group and row tile: [depth, taps, TILE_ROWS].
@group(0) @binding(3) var<storage, read> packed: array<vec4<Element>>;
@group(0) @binding(4) var<storage, read> bias: array<Element>;
@group(0) @binding(5) var<storage, read_write> output: array<Element>;
@group(0) @binding(6) var<storage, read> residual: array<Element>;
@group(0) @binding(7) var<storage, read_write> pre_activation: array<Element>;
@group(0) @binding(8) var<storage, read> saved: array<Element>;

var<workgroup> slab: array<Element, STAGED>;

/// `1 / (1 + e^-z)`, whose exponential does not overflow.
fn sigmoid(z: f32) -> f32 {
    let e = exp(-abs(z));
    return select(e, 1.0, z >= 0.0) / (1.0 + e);
}

/// The error function, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn erf(z: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(z));
    let series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return sign(z) * (1.0 - series * exp(-z * z));
}

/// The derivative of the activation.
fn derivative(saved: f32) -> f32 {
    if (DERIVATIVE == RELU) {
        return select(1.0, 0.0, saved <= 0.0);
    }
    if (DERIVATIVE == LEAKY_RELU) {
        return select(1.0, params.slope, saved <= 0.0);
    }
    if (DERIVATIVE == SILU) {
        let s = sigmoid(saved);
        return s * (1.0 + saved * (1.0 - s));
    }
    if (DERIVATIVE == GELU) {
        let density = 0.39894228 * exp(-0.5 * saved * saved);
        return 0.5 * (1.0 + erf(saved * 0.70710678)) + saved * density;
    }
    if (DERIVATIVE == TANH) {
        let y = select(saved, 2.0 * sigmoid(2.0 * saved) - 1.0, SAVED_INPUT == 1u);
        return 1.0 - y * y;
    }
    if (DERIVATIVE == SIGMOID) {
        let y = select(saved, sigmoid(saved), SAVED_INPUT == 1u);
        return y * (1.0 - y);
    }
    return 1.0;
}

/// One element of the input.
fn load(at: u32) -> f32 {
    if (DERIVATIVE != IDENTITY) {
        return input[at] * derivative(saved[params.saved_base + at - params.in_base]);
    }
    return input[at];
}

/// The activation.
fn activate(z: f32) -> f32 {
    if (ACTIVATION == RELU) {
        return select(z, 0.0, z <= 0.0);
    }
    if (ACTIVATION == LEAKY_RELU) {
        return select(z, params.slope * z, z <= 0.0);
    }
    if (ACTIVATION == SILU) {
        return z * sigmoid(z);
    }
    if (ACTIVATION == GELU) {
        return 0.5 * z * (1.0 + erf(z * 0.70710678));
    }
    if (ACTIVATION == TANH) {
        return 2.0 * sigmoid(2.0 * z) - 1.0;
    }
    if (ACTIVATION == SIGMOID) {
        return sigmoid(z);
    }
    return z;
}

/// Stores a sum, and where it is complete what follows it.
fn store(at: u32, sum: f32) {
    let beside = at - params.out_base;
    var z = sum;
    if (RESIDUAL == BEFORE) {
        z += residual[params.residual_base + beside];
    }
    if (PRE_ACTIVATION == 1u && params.has_pre_activation == 1u) {
        pre_activation[params.pre_activation_base + beside] = z;
    }
    var y = activate(z);
    if (RESIDUAL == AFTER) {
        y += residual[params.residual_base + beside];
    }
    output[at] = y;
}

/// The input position that a position beyond an end repeats.
fn extend(position: i32) -> i32 {
    let last = i32(params.in_length) - 1;
    if (REPEATED == 1u) {
        return repeat(position, last);
    }
    if (EXTENSION == REFLECT) {
        return select(last - (position - last), -position, position < 0);
    }
    if (EXTENSION == SYMMETRIC) {
        return select(last - (position - last - 1), -1 - position, position < 0);
    }
    if (EXTENSION == CIRCULAR) {
        return select(position - last - 1, position + last + 1, position < 0);
    }
    return clamp(position, 0, last); // replicate
}

/// As `extend`, for padding of any length.
fn repeat(position: i32, last: i32) -> i32 {
    var period = last + 1;
    if (EXTENSION == REFLECT) {
        period = max(2 * last, 1);
    }
    if (EXTENSION == SYMMETRIC) {
        period = 2 * (last + 1);
    }
    let remainder = position % period;
    let place = select(remainder, remainder + period, remainder < 0);
    if (EXTENSION == REFLECT) {
        return min(place, period - place);
    }
    if (EXTENSION == SYMMETRIC) {
        return min(place, period - 1 - place);
    }
    return place;
}

/// One sample of the input row that starts at `row`, or what extends it beyond its ends. Where nothing that is stored needs
/// it, its value does not matter, and it may not be there to read.
fn sample(row: u32, position: i32) -> f32 {
    var inside = position;
    // A negative position is a huge u32.
    if (EXTENSION != ZEROS && u32(position) >= params.in_length) {
        if (EXTENSION == CONSTANT) {
            return params.fill;
        }
        inside = extend(position);
    }
    if (u32(inside - params.touched_first) >= params.touched) {
        return 0.0;
    }
    return load(row + u32(inside));
}

/// Four packed weights, or one: the units that they are counted in.
fn weights(at: u32) -> vec4<Element> {
    if (TILE_ROWS == 1u) {
        return vec4(packed[at / 4u][at % 4u]);
    }
    return packed[at];
}

@compute @workgroup_size(LANES)
fn window(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var rest = workgroup.x + workgroup.y * workgroups.x;
    if (rest >= params.workgroups) {
        return;
    }
    // Workgroups that follow each other read the same input.
    let row_first = (rest % params.row_tiles) * TILE_ROWS;
    let row_tile = rest % params.row_tiles;
    rest = rest / params.row_tiles;
    let between_block = rest % params.between_blocks;
    rest = rest / params.between_blocks;
    let block = rest % params.blocks;
    rest = rest / params.blocks;
    let n = rest % params.batch;
    rest = rest / params.batch;
    let phase = phases[rest % params.phases];
    let group = rest / params.phases;
    let position_end = min(phase.count, params.position_end);

    let shift = select(params.width_shift, 0u, ADJACENT == 1u);
    let width = 1u << shift;
    let between = lane & (width - 1u);
    let tile = lane >> shift;
    let tiles = LANES >> shift;
    let between_first = between_block << shift;
    let along_first = block * tiles * TILE_POSITIONS;
    let position_first = params.position_first + along_first * params.spacing + between_first;

    var sums: array<array<Element, TILE_POSITIONS>, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        for (var p = 0u; p < TILE_POSITIONS; p++) {
            sums[r][p] = Element(0);
        }
    }

    let last_tap = phase.taps - 1u;
    let neighbour = i32(params.spacing) * params.in_step;
    let in_row = params.in_base + n * params.in_batch + group * params.in_group;
    let in_position = phase.in_first + i32(last_tap) * params.tap_back + i32(position_first) * params.in_step;
    let packed_tile = (params.groups * phase.taps_before + group * phase.taps) * params.row_tiles * params.depth
        + row_tile * params.depth * phase.taps;
    let runs = min(params.period, phase.taps);
    let all_runs = select(params.depth * runs, 0u, phase.taps == 0u);
    for (var run_first = 0u; run_first < all_runs; run_first += params.stage_runs) {
        let run_end = min(run_first + params.stage_runs, all_runs);
        for (var t_first = 0u; t_first * params.period < phase.taps; t_first += params.stage_taps) {
            workgroupBarrier();
            for (var run = run_first; run < run_end; run++) {
                let row = in_row + run / runs * params.in_length;
                let first = in_position + i32(run % runs + t_first * params.period) * params.tap_step;
                let last = first + i32((params.stage_samples - 1u) >> shift) * neighbour
                    + i32(width - 1u) * params.in_step;
                let slab_first = (run - run_first) * params.stage_samples;
                // Modulo 2^32, as in `sample`: a block may end beyond the last position that an i32 holds.
                if (u32(first - params.touched_first) < params.touched && u32(last - params.touched_first) < params.touched) {
                    for (var i = lane; i < params.stage_samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.in_step;
                        slab[slab_first + i] = load(row + u32(first + offset));
                    }
                } else {
                    for (var i = lane; i < params.stage_samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.in_step;
                        slab[slab_first + i] = sample(row, first + offset);
                    }
                }
            }
            workgroupBarrier();
            for (var run = run_first; run < run_end; run++) {
                let first = run % runs;
                let run_taps = (last_tap - first) / params.period + 1u;
                let taps = min(params.stage_taps, run_taps - min(t_first, run_taps));
                var at = (run - run_first) * params.stage_samples + ((tile * TILE_POSITIONS) << shift) + between;
                // The weight of the first tap, and how far apart those of neighbouring taps of the run are.
                let tap = first + t_first * params.period;
                let kernel_tap = select(tap, last_tap - tap, params.reversed == 1u);
                var w_at = (packed_tile + run / runs * phase.taps + kernel_tap) * VECTORS;
                let w_step = select(params.period, 0u - params.period, params.reversed == 1u) * VECTORS;
                var samples: array<Element, TILE_POSITIONS + UNROLLED - 1u>;
                for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                    samples[p] = slab[at + p * width];
                }
                at += (TILE_POSITIONS - 1u) * width;
                var k = 0u;
                for (; k + UNROLLED <= taps; k += UNROLLED) {
                    for (var u = 0u; u < UNROLLED; u++) {
                        samples[TILE_POSITIONS - 1u + u] = slab[at + u * width];
                    }
                    at += UNROLLED * width;
                    for (var u = 0u; u < UNROLLED; u++) {
                        for (var a = 0u; a < VECTORS; a++) {
                            let w = weights(w_at + a);
                            for (var b = 0u; b < min(TILE_ROWS, 4u); b++) {
                                for (var p = 0u; p < TILE_POSITIONS; p++) {
                                    sums[4u * a + b][p] = fma(w[b], samples[p + u], sums[4u * a + b][p]);
                                }
                            }
                        }
                        w_at += w_step;
                    }
                    if (WHOLE == 0u) {
                        for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                            samples[p] = samples[p + UNROLLED];
                        }
                    }
                }
                if (REST == 1u) {
                    for (; k < taps; k++) {
                        samples[TILE_POSITIONS - 1u] = slab[at];
                        at += width;
                        for (var a = 0u; a < VECTORS; a++) {
                            let w = weights(w_at + a);
                            for (var b = 0u; b < min(TILE_ROWS, 4u); b++) {
                                for (var p = 0u; p < TILE_POSITIONS; p++) {
                                    sums[4u * a + b][p] = fma(w[b], samples[p], sums[4u * a + b][p]);
                                }
                            }
                        }
                        w_at += w_step;
                        for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                            samples[p] = samples[p + 1u];
                        }
                    }
                }
            }
        }
    }

    let out_first = params.out_base + n * params.out_batch + group * params.out_group + phase.out_first;
    for (var r = 0u; r < TILE_ROWS; r += STORED_ROWS) {
        // Through workgroup memory, so that neighbouring invocations store neighbouring positions.
        workgroupBarrier();
        for (var s = 0u; s < min(STORED_ROWS, TILE_ROWS - r); s++) {
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                slab[s * POSITIONS + ((tile * TILE_POSITIONS + p) << shift) + between] = sums[r + s][p];
            }
        }
        workgroupBarrier();
        for (var i = lane; i < STORED_ROWS * POSITIONS; i += LANES) {
            let row = row_first + r + i / POSITIONS;
            let in_block = i % POSITIONS;
            let offset = in_block & (width - 1u);
            let position = position_first + (in_block >> shift) * params.spacing + offset;
            let there = between_first + offset < params.spacing && position < position_end;
            if (there && r + i / POSITIONS < TILE_ROWS && row < params.rows) {
                let at = out_first + row * params.out_row + position * params.out_step;
                var start = Element(0);
                if (ACCUMULATE == 1u) {
                    start = output[at];
                } else if (params.has_bias == 1u) {
                    start = bias[params.bias_base + group * params.bias_group + row];
                }
                store(at, start + slab[i]);
            }
        }
    }
}
