// Reflect padding: the row is reflected at its first and last sample, which are not repeated.
// use: copied

fn source(position: i32, last: i32) -> i32 {
    if (REPEATED == 1u) {
        let period = max(2 * last, 1);
        let place = within(position, period);
        return min(place, period - place);
    }
    return select(last - (position - last), -position, position < 0);
}
