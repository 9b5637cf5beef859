// Samples of the input, with padding beyond the ends of its rows.
// use: input, extension/*

/// The sample at a position of the row that starts at index `row`; 0 outside the bound range. A sample that a stored output needs is
/// either in the bound range or zero padding.
fn sample_inside(row: u32, position: i32) -> Sum {
    if (u32(position - params.input.touched_first) >= params.input.touched) {
        return Sum(0);
    }
    return load_input(row + u32(position));
}
