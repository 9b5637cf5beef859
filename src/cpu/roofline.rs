use crate::roofline::Roofline;
use crate::timing::{Effort, measure};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

/// Sums that wait for nothing but themselves: two multiply-adds a cycle of a latency of four need eight, five cycles ten.
const SUMS: usize = 10;
/// Multiply-adds of each sum.
const STEPS: usize = 1 << 16;
/// Bytes that are copied: more than the caches of current processors hold.
const COPIED: usize = 256 << 20;

/// Measures the highest rates of the processor with all threads of the pool: multiply-adds of `f32` in the widest vectors that
/// it has, and copying from memory to memory. Of the samples the fastest counts.
pub fn roofline(effort: Effort) -> Roofline {
    let arch = Arch::new();
    let threads = rayon::current_num_threads();
    let never_fails = |timing: Result<_, Infallible>| match timing {
        Ok(timing) => timing,
        Err(never) => match never {},
    };
    let peak = never_fails(measure(effort, |repeats| {
        let start = Instant::now();
        for _ in 0..repeats {
            (0..threads).into_par_iter().for_each(|_| _ = black_box(arch.dispatch(MultiplyAdds)));
        }
        Ok(start.elapsed())
    }));
    let flops = arch.dispatch(Lanes) as f64 * (2 * SUMS * STEPS * threads) as f64;

    let source = vec![1u8; COPIED];
    let mut copied = vec![0u8; COPIED];
    let share = COPIED.div_ceil(threads);
    let copy = never_fails(measure(effort, |repeats| {
        let start = Instant::now();
        for _ in 0..repeats {
            let shares = copied.par_chunks_mut(share).zip(source.par_chunks(share));
            shares.for_each(|(copied, source)| copied.copy_from_slice(source));
        }
        black_box(&mut copied);
        Ok(start.elapsed())
    }));
    Roofline { flops: flops / peak.min(), bytes: 2.0 * COPIED as f64 / copy.min() }
}

/// Values of a vector.
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
