// Element ranges: each split of a sum has one.

/// Elements from `first` to before `end`.
struct ElementRange {
    first: u32,
    end: u32,
}

/// The elements of a split. Every split has `size` elements, except the last, which ends at `count`.
fn element_range(split: u32, size: u32, count: u32) -> ElementRange {
    let first = split * size;
    return ElementRange(first, min(first + size, count));
}
