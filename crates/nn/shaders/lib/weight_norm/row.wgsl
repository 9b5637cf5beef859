// Weight normalisation (Salimans, Kingma: Weight Normalization, NeurIPS 2016): the inputs of both passes. One workgroup
// per row.
// use: element_range, stored, workgroup

struct Params {
    /// Rows, and elements of each.
    rows: u32,
    length: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> v: array<Stored>;

fn elements_of(row: u32) -> ElementRange {
    return ElementRange(row * params.length, (row + 1u) * params.length);
}
