// Sliding-window correlation: samples are staged in workgroup memory and slide through registers past the taps.
//
// One invocation computes TILE_ROWS output rows x TILE_POSITIONS positions. Its positions share samples: the sample that position p
// reads at one tap is the sample that position p - 1 reads at the next tap. So a register window of TILE_POSITIONS samples moves along
// the staged samples, and each tap needs one new sample:
//
//     staged samples   s0  s1  s2  s3  s4  s5  s6  s7  s8 ...
//     tap 0            [p0  p1  p2  p3]                          TILE_POSITIONS = 4: sums[r][p] += w[r][tap] * window[p]
//     tap 1                [p0  p1  p2  p3]                      one load: s4
//     tap 2                    [p0  p1  p2  p3]                  one load: s5
//
// With UNROLLED = 3 the three windows are one array s0 .. s5 at fixed indices, and nothing moves within a step.
//
// Positions `spacing` apart share samples, at taps `tap_stride` apart (docs/kernels.md, "Samples that positions share"). The taps of
// one residue modulo `tap_stride` are visited together. The other residues follow, each with its own samples.
//
// A workgroup has LANES invocations and POSITIONS = LANES * TILE_POSITIONS positions, in `width` columns of adjacent positions. The
// places of a column are `spacing` apart. Invocation (along, across) computes TILE_POSITIONS places of column `across`, starting at place
// along * TILE_POSITIONS. Samples are staged place by place, with the columns of a place side by side:
//
//     place            0                    1                    2
//     column           0  1  ..  width-1    0  1  ..  width-1    0  1  ..  width-1    ...
//
// All invocations read a weight at the same address. The packed weights of a tile are [depth, taps, TILE_ROWS]. The functions
// `lowest_position` and `phase_tap` of lib/walk.wgsl put the taps in ascending order of input position.
// use: workgroup, correlation, sample, packed, output, walk

// Output rows (one, or a multiple of four) and positions of one invocation. An odd number of positions keeps neighbouring invocations in
// different banks of the workgroup memory.
const TILE_ROWS: u32 = 16u;
const TILE_POSITIONS: u32 = 7u;
// UNROLLED: taps of an unrolled step. WHOLE is 1 if every residue is exactly one step. REST is 1 if a remainder loop is needed.
const UNROLLED: u32 = 3u;
const WHOLE: u32 = 1u;
const REST: u32 = 0u;
// 1: positions that share samples are adjacent (`spacing` is 1), so that `width` is 1.
const ADJACENT: u32 = 1u;
// Samples that are staged at once: half of the workgroup memory that WebGPU guarantees, so that two workgroups fit in it.
const STAGED: u32 = 2048u;

const VECTORS: u32 = (TILE_ROWS + 3u) / 4u;
const POSITIONS: u32 = LANES * TILE_POSITIONS;
// Output rows whose sums pass through workgroup memory at once.
const STORED_ROWS: u32 = STAGED / POSITIONS;

struct Tiles {
    row_tiles: u32,
    /// Workgroups of a row of positions: along the spacing, and across it.
    along: u32,
    across: u32,
    /// Base-2 logarithm of `width`.
    width_shift: u32,
    /// Sequences of samples that are staged at once (one for each input row and residue), and the taps and samples of a staged sequence.
    sequences: u32,
    taps: u32,
    samples: u32,
}

var<workgroup> staged: array<Sum, STAGED>;

/// The packed weights of four output rows of a tile. If the tile has one row, all four components are its weight.
fn weights(at: u32) -> vec4<Sum> {
    if (TILE_ROWS == 1u) {
        return vec4(loaded(packed[at / 4u][at % 4u]));
    }
    return vec4<Sum>(packed[at]);
}

@compute @workgroup_size(LANES)
fn window(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    // 1. The tile of this workgroup. Consecutive workgroups read the same input.
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let row_tile = rest % params.tiles.row_tiles;
    let row_first = row_tile * TILE_ROWS;
    rest = rest / params.tiles.row_tiles;
    let block_across = rest % params.tiles.across;
    rest = rest / params.tiles.across;
    let block_along = rest % params.tiles.along;
    rest = rest / params.tiles.along;
    let n = rest % params.problem.batch;
    rest = rest / params.problem.batch;
    let phase = phase_at(rest % params.problem.phases);
    let group = rest / params.problem.phases;
    let position_end = min(phase.count, params.problem.position_end);

    // 2. The place of this invocation: its column `across` among the `width` columns, and its index `along` the spacing.
    let shift = select(params.tiles.width_shift, 0u, ADJACENT == 1u);
    let width = 1u << shift;
    let across = lane & (width - 1u);
    let along = lane >> shift;
    let across_first = block_across << shift;
    let along_first = block_along * (LANES >> shift) * TILE_POSITIONS;
    let position_first = params.problem.position_first + along_first * params.walk.spacing + across_first;

    // 3. The main loop over the sequences of samples: one for each input row (depth) and each residue of taps.
    var sums: array<array<Sum, TILE_POSITIONS>, TILE_ROWS>;
    let tap_stride = params.walk.tap_stride;
    let neighbour = i32(params.walk.spacing) * params.walk.in_step;
    let in_first = input_at(n, group);
    let in_position = lowest_position(position_first, phase);
    let packed_tile = packed_at(phase, group, row_tile, params.tiles.row_tiles);
    let residues = min(tap_stride, phase.taps);
    let sequences = select(params.problem.depth * residues, 0u, phase.taps == 0u);
    for (var sequence_first = 0u; sequence_first < sequences; sequence_first += params.tiles.sequences) {
        let sequence_end = min(sequence_first + params.tiles.sequences, sequences);
        for (var t_first = 0u; t_first * tap_stride < phase.taps; t_first += params.tiles.taps) {
            // 3a. Stage the samples of all invocations for these taps, several sequences at once.
            workgroupBarrier();
            for (var s = sequence_first; s < sequence_end; s++) {
                let in_row = in_first + s / residues * params.input.length;
                let first = in_position + i32(s % residues + t_first * tap_stride) * params.walk.tap_step;
                let last = first + i32((params.tiles.samples - 1u) >> shift) * neighbour
                    + i32(width - 1u) * params.walk.in_step;
                let staged_first = (s - sequence_first) * params.tiles.samples;
                // The comparisons are modulo 2^32, as in `sample`: a block may end at a position that does not fit an i32.
                let inside = u32(first - params.input.touched_first) < params.input.touched
                    && u32(last - params.input.touched_first) < params.input.touched;
                if (inside) {
                    for (var i = lane; i < params.tiles.samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.walk.in_step;
                        staged[staged_first + i] = load_input(in_row + u32(first + offset));
                    }
                } else {
                    for (var i = lane; i < params.tiles.samples; i += LANES) {
                        let offset = i32(i >> shift) * neighbour + i32(i & (width - 1u)) * params.walk.in_step;
                        staged[staged_first + i] = sample(in_row, first + offset);
                    }
                }
            }
            workgroupBarrier();
            for (var s = sequence_first; s < sequence_end; s++) {
                // 3b. The taps of this sequence, the address of its first weight, and the distance to the next weight.
                let residue = s % residues;
                let sequence_taps = (phase.taps - 1u - residue) / tap_stride + 1u;
                let taps = min(params.tiles.taps, sequence_taps - min(t_first, sequence_taps));
                let tap = phase_tap(residue + t_first * tap_stride, phase);
                var w_at = (packed_tile + s / residues * phase.taps + tap) * VECTORS;
                let w_step = select(tap_stride, 0u - tap_stride, params.walk.reversed == 1u) * VECTORS;
                // 3c. Fill the register window, except its last sample.
                var sample_at = (s - sequence_first) * params.tiles.samples + ((along * TILE_POSITIONS) << shift) + across;
                var samples: array<Sum, TILE_POSITIONS + UNROLLED - 1u>;
                for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                    samples[p] = staged[sample_at + p * width];
                }
                sample_at += (TILE_POSITIONS - 1u) * width;
                var k = 0u;
                for (; k + UNROLLED <= taps; k += UNROLLED) {
                    // 3d. Load UNROLLED new samples and add UNROLLED taps: tap u multiplies the window that starts at sample u.
                    for (var u = 0u; u < UNROLLED; u++) {
                        samples[TILE_POSITIONS - 1u + u] = staged[sample_at + u * width];
                    }
                    sample_at += UNROLLED * width;
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
                    // The next step begins with the last samples of this one.
                    if (WHOLE == 0u) {
                        for (var p = 0u; p < TILE_POSITIONS - 1u; p++) {
                            samples[p] = samples[p + UNROLLED];
                        }
                    }
                }
                if (REST == 1u) {
                    // 3e. The remaining taps, one at a time.
                    for (; k < taps; k++) {
                        samples[TILE_POSITIONS - 1u] = staged[sample_at];
                        sample_at += width;
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

    // 4. The epilogue. The sums pass through workgroup memory, so that neighbouring invocations store adjacent positions.
    let out_first = output_at(n, group, phase);
    for (var r = 0u; r < TILE_ROWS; r += STORED_ROWS) {
        workgroupBarrier();
        for (var s = 0u; s < min(STORED_ROWS, TILE_ROWS - r); s++) {
            for (var p = 0u; p < TILE_POSITIONS; p++) {
                staged[s * POSITIONS + ((along * TILE_POSITIONS + p) << shift) + across] = sums[r + s][p];
            }
        }
        workgroupBarrier();
        for (var i = lane; i < STORED_ROWS * POSITIONS; i += LANES) {
            let row = row_first + r + i / POSITIONS;
            let in_block = i % POSITIONS;
            let offset = in_block & (width - 1u);
            let position = position_first + (in_block >> shift) * params.walk.spacing + offset;
            let there = across_first + offset < params.walk.spacing && position < position_end;
            if (there && r + i / POSITIONS < TILE_ROWS && row < params.problem.rows) {
                let out = out_first + row * params.output.row + position * params.output.step;
                store_output(out, start_of_sum(out, group, row) + staged[i]);
            }
        }
    }
}
