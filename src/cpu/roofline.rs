use crate::roofline::Roofline;
use crate::timing::{Effort, measure};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::convert::Infallible;
use std::hint::black_box;
use web_time::Instant;

/// Independent sums. Two multiply-adds per cycle need eight sums at a latency of four cycles, and ten at five.
const SUMS: usize = 10;
/// Multiply-adds of each sum.
const STEPS: usize = 1 << 16;
/// Bytes to copy: more than the caches of nearly all processors hold, and few enough for small machines.
const COPIED: usize = 128 << 20;

/// Measures the highest rates of the processor with all threads of the rayon pool: `f32` multiply-adds in the widest vectors
/// that it has, and copies from memory to memory. The fastest sample counts.
pub fn roofline(effort: Effort) -> Roofline {
    Roofline { flops: peak_flops(effort), bytes: copy_bytes(effort) }
}

/// Measures the multiply-adds of [`roofline`] alone: floating-point operations per second, two for each multiply-add.
pub fn peak_flops(effort: Effort) -> f64 {
    let arch = Arch::new();
    let threads = rayon::current_num_threads();
    let once = fastest(effort, || {
        (0..threads).into_par_iter().for_each(|_| _ = black_box(arch.dispatch(MultiplyAdds)));
    });
    arch.dispatch(Lanes) as f64 * (2 * SUMS * STEPS * threads) as f64 / once
}

/// Measures the copies of [`roofline`] alone: bytes read and written per second.
pub fn copy_bytes(effort: Effort) -> f64 {
    let source = vec![1_u8; COPIED];
    let mut copied = vec![0_u8; COPIED];
    let share = COPIED.div_ceil(rayon::current_num_threads());
    let once = fastest(effort, || {
        let shares = copied.par_chunks_mut(share).zip(source.par_chunks(share));
        shares.for_each(|(copied, source)| copied.copy_from_slice(source));
        black_box(&mut copied);
    });
    2.0 * COPIED as f64 / once
}

/// Seconds of the fastest sample.
fn fastest(effort: Effort, mut call: impl FnMut()) -> f64 {
    let timing: Result<_, Infallible> = measure(effort, |repeats| {
        let start = Instant::now();
        (0..repeats).for_each(|_| call());
        Ok(start.elapsed())
    });
    match timing {
        Ok(timing) => timing.min(),
        Err(never) => match never {},
    }
}

/// Number of `f32` lanes of a vector.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(0.999));
        let addend = simd.splat_f32s(black_box(0.001));
        let mut sums = [simd.splat_f32s(black_box(1.0)); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, addend);
            }
        }
        sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum()
    }
}
