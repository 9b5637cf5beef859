// Element ranges: each split of a sum has one.

/// Elements from `first` on, before `end`.
struct ElementRange {
    first: u32,
    end: u32,
}

/// The elements of a split. All splits have `size` elements but for the last, which ends with the `count` elements there are.
fn element_range(split: u32, size: u32, count: u32) -> ElementRange {
    let first = split * size;
    return ElementRange(first, min(first + size, count));
}
