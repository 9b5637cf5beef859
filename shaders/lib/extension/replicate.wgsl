// The first and the last sample of a row extend it.
// use: copied

fn source(position: i32, last: i32) -> i32 {
    return clamp(position, 0, last);
}
