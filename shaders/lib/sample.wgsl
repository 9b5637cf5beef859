// Samples of the input, extended beyond the ends of its rows.
// use: input, extension/*

/// The sample at a position of the row that starts at index `row`. Where no stored output needs it, it may lie outside the bound
/// range; its value does not matter then.
fn sample_inside(row: u32, position: i32) -> Sum {
    if (u32(position - params.input.touched_first) >= params.input.touched) {
        return Sum(0);
    }
    return load_input(row + u32(position));
}
