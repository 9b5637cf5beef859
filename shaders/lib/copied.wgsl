// The row itself extends it: `source` says which of its samples a position beyond its ends repeats.

// 1: the padding is longer than one repetition of the row.
const REPEATED: u32 = 0u;

fn sample(row: u32, position: i32) -> Sum {
    var inside = position;
    // A negative position is a huge u32.
    if (u32(position) >= params.input.length) {
        inside = source(position, i32(params.input.length) - 1);
    }
    return sample_inside(row, inside);
}

/// The remainder of a division by a period, from 0 to one less than the period.
fn within(position: i32, period: i32) -> i32 {
    let remainder = position % period;
    return select(remainder, remainder + period, remainder < 0);
}
