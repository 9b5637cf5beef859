// Running statistics do not depend on the input.

fn corrected(dz: Sum, i: u32, channel: u32) -> Sum {
    return dz;
}
