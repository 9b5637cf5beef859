//! Everything in one buffer: input, weight, bias and outputs of two layers are ranges of one allocation, as in an engine
//! that manages its own memory.
//!
//! Ranges may start at any multiple of 4 bytes and need not be aligned. A range that is written must not overlap another. In a
//! browser a binding starts at a multiple of 256 bytes, at or before its range: leave 256 bytes between ranges there.

use conv1d::{Activation, Buffers, Conv1d, Fused, Gpu, Operation, Padding, Plan, PlanOptions, Role};

/// A range of elements.
struct Range {
    first: usize,
    count: usize,
}

/// Hands out ranges one after another.
struct Arena {
    used: usize,
}

impl Arena {
    fn take(&mut self, count: usize) -> Range {
        let first = self.used;
        self.used += count;
        Range { first, count }
    }
}

fn main() -> conv1d::Result<()> {
    let gpu = Gpu::new()?;
    let first = Conv1d::new(1, 8, 5).padding(Padding::Same).activation(Activation::Relu);
    let second = Conv1d::new(8, 1, 5).padding(Padding::Same).into();
    let length = 1000;
    let plan =
        |layer: Fused, channels| gpu.plan(layer, Operation::Forward, [1, channels, length], &PlanOptions::default());
    let (first, second) = (plan(first, 1)?, plan(second, 8)?);

    let mut arena = Arena { used: 3 };
    let [x, y, z] = [length, 8 * length, length].map(|count| arena.take(count));
    let [w1, b1, w2, b2] = [40, 8, 40, 1].map(|count| arena.take(count));
    let mut contents = vec![0.0; arena.used];
    for (index, value) in contents[x.first..][..x.count].iter_mut().enumerate() {
        *value = (index as f32 * 0.1).sin();
    }
    for range in [&w1, &b1, &w2, &b2] {
        contents[range.first..][..range.count].fill(0.05);
    }
    let memory = gpu.tensor(&contents, [arena.used])?;

    let bind = |plan: &Plan, tensors: [(Role, &Range); 4]| {
        let mut buffers = Buffers::new();
        for (role, range) in tensors {
            let bytes = range.first as u64 * 4..(range.first + range.count) as u64 * 4;
            buffers = buffers.with(role, memory.buffer().slice(bytes));
        }
        gpu.prepare(plan)?.bind(&buffers)
    };
    gpu.run(&bind(&first, [(Role::Input, &x), (Role::Weight, &w1), (Role::Bias, &b1), (Role::Output, &y)])?)?;
    gpu.run(&bind(&second, [(Role::Input, &y), (Role::Weight, &w2), (Role::Bias, &b2), (Role::Output, &z)])?)?;

    let values = memory.read()?;
    let output = &values[z.first..][..z.count];
    println!("{first}\n{second}\nin {} bytes; in the middle {:.4}", memory.len() * 4, output[length / 2]);
    Ok(())
}
