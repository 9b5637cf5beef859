// Replicate padding: the first and last sample of the row continue beyond its ends.
// use: copied

fn source(position: i32, last: i32) -> i32 {
    return clamp(position, 0, last);
}
