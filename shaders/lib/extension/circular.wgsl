// Circular padding: beyond one end, the row continues from its other end.
// use: copied

fn source(position: i32, last: i32) -> i32 {
    if (REPEATED == 1u) {
        return within(position, last + 1);
    }
    return select(position - last - 1, position + last + 1, position < 0);
}
