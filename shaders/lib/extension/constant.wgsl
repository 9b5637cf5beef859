// Constant padding: `input.fill` beyond the ends of a row.

fn sample(row: u32, position: i32) -> Sum {
    // A negative position is a huge u32.
    if (u32(position) >= params.input.length) {
        return params.input.fill;
    }
    return sample_inside(row, position);
}
