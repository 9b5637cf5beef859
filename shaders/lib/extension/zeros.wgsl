// Zero padding.

fn sample(row: u32, position: i32) -> Sum {
    return sample_inside(row, position);
}
