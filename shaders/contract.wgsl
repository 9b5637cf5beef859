// Direct contraction over positions (weight gradient): every invocation computes a tile of output rows x taps of one input row. The sum
// is over the positions of all batch items or of a split, in blocks.
//
// If samples are shifted, an invocation visits positions `spacing` apart. At the next position, a tap reads the sample that the
// neighbouring tap reads at the current position, so each sample is loaded once. The positions of an item form `spacing` sequences. A
// sequence is cut into stretches, and a split sums whole stretches.
// use: workgroup, contraction, sample, narrow, partials, split

// Output rows and taps of one invocation.
const TILE_ROWS: u32 = 4u;
const TILE_TAPS: u32 = 4u;
// 1: samples are shifted through the tile. 0: every position loads all its samples.
const SHIFTED: u32 = 1u;
// 1: most positions read only padding, and each tile of taps visits only the positions that read a sample of the input.
const CLAMPED: u32 = 0u;

struct Tiles {
    row_tiles: u32,
    tap_tiles: u32,
    /// Workgroups along (group, depth, tile of taps).
    column_workgroups: u32,
    /// Distance between the positions of a stretch; also the number of sequences of an item.
    spacing: u32,
    /// Stretches of a sequence, and positions of a stretch.
    stretches: u32,
    stretch: u32,
}

@compute @workgroup_size(LANES)
fn contract(workgroup: Workgroup, @builtin(local_invocation_index) lane: u32) {
    var rest = index_of(workgroup);
    if (rest >= params.problem.workgroups) {
        return;
    }
    let column = (rest % params.tiles.column_workgroups) * LANES + lane;
    rest = rest / params.tiles.column_workgroups;
    let row_first = (rest % params.tiles.row_tiles) * TILE_ROWS;
    let split = rest / params.tiles.row_tiles;
    let tap_first = (column % params.tiles.tap_tiles) * TILE_TAPS;
    let q = column / params.tiles.tap_tiles % params.problem.depth;
    let group = column / params.tiles.tap_tiles / params.problem.depth;
    if (group >= params.problem.groups) {
        return;
    }

    // Rows beyond the end repeat the last row. Taps beyond the end are computed like the others. Neither is stored.
    var narrow_rows: array<u32, TILE_ROWS>;
    for (var r = 0u; r < TILE_ROWS; r++) {
        narrow_rows[r] = narrow_at(0u, group) + min(row_first + r, params.problem.rows - 1u) * params.narrow.length;
    }
    let in_first = input_at(0u, group) + q * params.input.length;
    let dilation = params.problem.dilation;
    let stride = params.problem.stride;
    let spacing = params.tiles.spacing;
    let tap_position = params.problem.in_first + i32(tap_first * dilation);
    let out_first = partials_at(split, group) + q * params.problem.taps;
    for (var block = split_first(split); has_block(block, split); block += params.split.block) {
        let end = block_end(block, split);
        // Chromium clears a variable again in each iteration only if it has an initialiser.
        var sums = array<array<Sum, TILE_TAPS>, TILE_ROWS>();
        for (var i = block; i < end; i++) {
            let sequence = i / params.tiles.stretches;
            let n = sequence / spacing;
            // The positions of the stretch start at `first` and are `spacing` apart.
            var first = sequence % spacing + (i % params.tiles.stretches) * params.tiles.stretch * spacing;
            var last = min(first + params.tiles.stretch * spacing, params.problem.positions);
            if (CLAMPED == 1u) {
                let at_zero = tap_position + i32(params.problem.position_first * stride);
                let reach = min(TILE_TAPS - 1u, params.problem.taps - 1u - tap_first) * dilation;
                let before = max(-(at_zero + i32(reach)), 0);
                let after = max(i32(params.input.length) - at_zero, 0);
                let begin = (u32(before) + stride - 1u) / stride;
                last = min(last, (u32(after) + stride - 1u) / stride);
                if (begin > first) {
                    first += (begin - first + spacing - 1u) / spacing * spacing;
                }
            }
            let in_row = in_first + n * params.input.batch;
            let narrow_item = n * params.narrow.batch + params.problem.position_first;
            var samples: array<Sum, TILE_TAPS>;
            if (SHIFTED == 1u) {
                let in_position = tap_position + i32((params.problem.position_first + first) * stride);
                for (var t = 1u; t < TILE_TAPS; t++) {
                    samples[t] = sample(in_row, in_position + i32((t - 1u) * dilation));
                }
            }
            for (var position = first; position < last; position += spacing) {
                let in_position = tap_position + i32((params.problem.position_first + position) * stride);
                if (SHIFTED == 1u) {
                    for (var t = 1u; t < TILE_TAPS; t++) {
                        samples[t - 1u] = samples[t];
                    }
                    samples[TILE_TAPS - 1u] = sample(in_row, in_position + i32((TILE_TAPS - 1u) * dilation));
                } else {
                    for (var t = 0u; t < TILE_TAPS; t++) {
                        samples[t] = sample(in_row, in_position + i32(t * dilation));
                    }
                }
                for (var r = 0u; r < TILE_ROWS; r++) {
                    let g = load_narrow(narrow_rows[r] + narrow_item + position);
                    for (var t = 0u; t < TILE_TAPS; t++) {
                        sums[r][t] = fma(g, samples[t], sums[r][t]);
                    }
                }
            }
        }
        let first = block == split_first(split);
        for (var r = 0u; r < TILE_ROWS; r++) {
            for (var t = 0u; t < TILE_TAPS; t++) {
                if (row_first + r < params.problem.rows && tap_first + t < params.problem.taps) {
                    store_partial(out_first + (row_first + r) * params.partials.row + tap_first + t, sums[r][t], first);
                }
            }
        }
    }
}
