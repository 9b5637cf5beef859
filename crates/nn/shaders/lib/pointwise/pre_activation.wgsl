// Input of the activation: `dropout(a) + b`.
// use: pointwise/addend/*, pointwise/dropout/*, stored

@group(0) @binding(2) var<storage, read> a: array<Stored>;

fn pre_activation(i: u32) -> Sum {
    return with_addend(with_dropout(loaded(a[i]), i), i);
}
