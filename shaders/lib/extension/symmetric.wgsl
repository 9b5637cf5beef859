// Symmetric padding: the row is mirrored at its ends, so the first and last sample are repeated.
// use: copied

fn source(position: i32, last: i32) -> i32 {
    if (REPEATED == 1u) {
        let period = 2 * (last + 1);
        let place = within(position, period);
        return min(place, period - 1 - place);
    }
    return select(last - (position - last - 1), -1 - position, position < 0);
}
