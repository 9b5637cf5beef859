// A bias for each output row.

@group(0) @binding(3) var<storage, read> bias: array<Stored>;

fn bias_of(group: u32, row: u32) -> Sum {
    return loaded(bias[params.skips.bias + params.output.bias_base + group * params.output.bias_group + row]);
}
