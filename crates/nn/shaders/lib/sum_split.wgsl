// Partial sums of losses and of squares. One workgroup per split: it adds up the terms of the element range of the split
// by `add_term(i, sum)`, which the kernel defines, and stores the sum.
// use: element_range, scalar_terms, stored, sum_lanes, workgroup

struct Params {
    /// Number of splits. The dispatch may have more workgroups.
    splits: u32,
    /// Number of elements, and elements of a split.
    count: u32,
    split: u32,
    /// Classes, and positions of an item. Only `cross_entropy` uses them.
    classes: u32,
    length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> partials: array<Stored>;

fn sum_split(workgroup: Workgroup, lane: u32) {
    let split = index_of(workgroup);
    if (split >= params.splits) {
        return;
    }
    let range = element_range(split, params.split, params.count);
    let sum = sum_lanes(lane, sum_terms(range.first + lane, range.end, LANES));
    if (lane == 0u) {
        partials[split] = stored(sum);
    }
}
