// Padding that repeats samples of the row: `source` maps a position beyond the ends to the sample that it repeats.

// 1: the padding on a side repeats a sample more than once.
const REPEATED: u32 = 0u;

fn sample(row: u32, position: i32) -> Sum {
    var inside = position;
    // A negative position is a huge u32.
    if (u32(position) >= params.input.length) {
        inside = source(position, i32(params.input.length) - 1);
    }
    return sample_inside(row, inside);
}

/// `position` modulo `period`, from 0 to `period - 1`.
fn within(position: i32, period: i32) -> i32 {
    let remainder = position % period;
    return select(remainder, remainder + period, remainder < 0);
}
