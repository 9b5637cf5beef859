//! How a device computes where WGSL leaves it free.

#[cfg(not(target_arch = "wasm32"))]
use super::block_on;
use super::{Bindings, Gpu, Workgroups};
use crate::error::Result;
use crate::kernels::program::{Shader, Source, source};
use std::fmt;

pub(super) static ARITHMETIC: Source = source!("arithmetic");

/// How a device computes where WGSL leaves it free, as far as 16,384 examples show ([`Gpu::arithmetic`]).
///
/// The promised error bounds need a device that [rounds to nearest](Arithmetic::rounds_to_nearest). They hold whatever the other fields
/// are: they allow for flushed subnormals, for multiply-adds of two roundings, and for divisions of 2.5 units in the last place.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Arithmetic {
    /// Whether every sum, product and multiply-add is rounded to the nearest number, as IEEE 754 does by default. WGSL allows the next
    /// number in either direction.
    pub rounds_to_nearest: bool,
    /// Whether `fma` rounds once. WGSL allows it to round the product too.
    pub fuses: bool,
    /// Whether numbers below the smallest normal number (2^-126) are kept. WGSL allows flushing them to zero.
    pub keeps_subnormals: bool,
    /// Whether overflow gives infinity, and NaN and infinity propagate as in IEEE 754. WGSL allows any result.
    pub keeps_infinities: bool,
    /// The largest error of a division, in units in the last place. WGSL allows 2.5.
    pub division: f64,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounding = if self.rounds_to_nearest { "rounds to nearest" } else { "does not round to nearest" };
        let fused = if self.fuses { "one rounding" } else { "two roundings" };
        let subnormals = if self.keeps_subnormals { "kept" } else { "flushed" };
        let infinities = if self.keeps_infinities { "kept" } else { "not kept" };
        let division = self.division;
        write!(f, "{rounding}, multiply-adds of {fused}, subnormals {subnormals}, NaN and infinity {infinities}, ")?;
        write!(f, "division within {division:.2} units in the last place")
    }
}

impl Gpu {
    /// How this device computes where WGSL leaves it free.
    ///
    /// ```
    /// let gpu = conv1d::Gpu::new()?;
    /// let arithmetic = gpu.arithmetic()?;
    /// assert!(arithmetic.rounds_to_nearest, "{arithmetic}");
    /// # Ok::<(), conv1d::Error>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn arithmetic(&self) -> Result<Arithmetic> {
        block_on(self.arithmetic_async())
    }

    /// As `arithmetic`, without blocking.
    pub async fn arithmetic_async(&self) -> Result<Arithmetic> {
        let triples = triples();
        let tensor = |i: usize| {
            let values: Vec<f32> = triples.iter().map(|triple| triple[i]).collect();
            self.tensor(&values, [values.len()])
        };
        let (first, second, third) = (tensor(0)?, tensor(1)?, tensor(2)?);
        let results = self.zeros([triples.len(), 4])?;
        let bindings = Bindings::new()
            .with("first", first.slice())
            .with("second", second.slice())
            .with("third", third.slice())
            .with("results", results.slice())
            .value("count", triples.len() as u32);
        let shader = self.prepare_shader(&Shader::of(&ARITHMETIC))?;
        self.run(&shader.bind(&bindings, Workgroups::Elements(triples.len() as u64))?)?;
        let results = results.read_async().await?;
        let (results, _) = results.as_chunks();
        Ok(Arithmetic::of(&triples, results))
    }
}

/// Numbers of random digits: of similar size, of results around the smallest normal number, and halfway cases. Then infinities and NaN.
fn triples() -> Vec<[f32; 3]> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    // A number from 2^exponent to 2^(exponent + 1), of either sign.
    let mut number = |exponent: i32| {
        let bits = random();
        f32::from_bits(bits & 0x807f_ffff | ((exponent + 127) as u32) << 23)
    };
    let mut triples = Vec::new();
    for i in 0..4096 {
        triples.push([number(i % 24 - 12), number(i / 24 % 24 - 12), number(i % 30 - 15)]);
    }
    for i in 0..4096 {
        // Products from 2^-149 to 2^-120.
        let exponent = i % 100 - 50;
        triples.push([number(exponent), number(-149 + i % 29 - exponent).abs(), 0.0]);
    }
    for i in 0..4096 {
        // Sums of subnormals. A third number of zero leaves a product that is zero or flushed.
        let subnormal = |bits: f32| f32::from_bits(bits.to_bits() & 0x807f_ffff);
        triples.push([subnormal(number(0)), subnormal(number(i % 2)), 0.0]);
    }
    for i in 0..4096 {
        // Odd numbers of 24 bits, plus and times a half: halfway between two numbers.
        let odd = f32::from_bits(number(0).to_bits() | 1);
        let half_unit = f32::from_bits(((127 - 24) as u32) << 23);
        let toward = if i % 2 == 0 { half_unit } else { -half_unit };
        triples.push([odd, toward, number(-30)]);
    }
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1.0, -2.0, 0.0];
    for a in special {
        triples.extend(special.iter().flat_map(|&b| special.map(|c| [a, b, c])));
    }
    triples
}

impl Arithmetic {
    /// What the results of the shader say: sum, product, multiply-add and quotient of each triple.
    fn of(triples: &[[f32; 3]], results: &[[f32; 4]]) -> Self {
        let mut all = Arithmetic {
            rounds_to_nearest: true,
            fuses: true,
            keeps_subnormals: true,
            keeps_infinities: true,
            division: 0.0,
        };
        for (&[a, b, c], &[sum, product, multiply_add, quotient]) in triples.iter().zip(results) {
            // The exact multiply-add has one of two roundings.
            let (fused, twice) = (a.mul_add(b, c), a * b + c);
            let one = [(a + b, sum), (a * b, product)];
            let inputs = [a, b, c];
            if inputs.iter().chain(&[a + b, a * b, fused, twice]).any(|v| !v.is_finite()) {
                let same = |(expected, got): &(f32, f32)| {
                    expected.is_finite() || expected == got || expected.is_nan() && got.is_nan()
                };
                let multiply_add = same(&(fused, multiply_add)) || same(&(twice, multiply_add));
                all.keeps_infinities &= one.iter().all(same) && multiply_add;
                continue;
            }
            let small = |v: f32| v.is_subnormal();
            if inputs.iter().chain(&[a + b, a * b, fused]).any(|&v| small(v)) {
                all.keeps_subnormals &= one.iter().all(|(expected, got)| expected == got);
                continue;
            }
            all.rounds_to_nearest &= one.iter().all(|(expected, got)| expected == got);
            all.rounds_to_nearest &= multiply_add == fused || multiply_add == twice;
            all.fuses &= multiply_add == fused;
            let exact = f64::from(a) / f64::from(b);
            if exact.abs() > f64::from(f32::MIN_POSITIVE) && exact.abs() < f64::from(f32::MAX) {
                let unit = f64::exp2(exact.abs().log2().floor() - 23.0);
                all.division = all.division.max((f64::from(quotient) - exact).abs() / unit);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that computes each operation in `f64` and rounds it with `round`.
    fn device(round: impl Fn(f64) -> f32) -> Arithmetic {
        let triples = triples();
        let compute = |[a, b, c]: [f32; 3]| {
            let [a, b, c] = [a, b, c].map(f64::from);
            [round(a + b), round(a * b), round(a.mul_add(b, c)), round(a / b)]
        };
        let results: Vec<[f32; 4]> = triples.iter().map(|&triple| compute(triple)).collect();
        Arithmetic::of(&triples, &results)
    }

    /// The next number towards zero, unless the value is a number.
    fn toward_zero(value: f64) -> f32 {
        let near = value as f32;
        let step = f64::from(near).abs() > value.abs() && near.is_finite();
        if step { f32::from_bits(near.to_bits() - 1) } else { near }
    }

    #[test]
    fn ieee_arithmetic_is_recognised() {
        let ieee = device(|value| value as f32);
        assert!(ieee.rounds_to_nearest && ieee.fuses && ieee.keeps_subnormals && ieee.keeps_infinities, "{ieee}");
        assert!(ieee.division <= 0.5001, "{ieee}");
    }

    #[test]
    fn other_roundings_are_found() {
        let truncating = device(toward_zero);
        assert!(!truncating.rounds_to_nearest && truncating.keeps_infinities, "{truncating}");
        // Halfway cases away from zero, all else to nearest.
        let away = device(|value| {
            let near = toward_zero(value);
            let unit = f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near);
            let half = (value - f64::from(near)).abs() >= unit.abs() / 2.0 && near.is_normal();
            if half { f32::from_bits(near.to_bits() + 1) } else { value as f32 }
        });
        assert!(!away.rounds_to_nearest, "{away}");
    }

    #[test]
    fn flushing_and_finite_overflow_are_found() {
        let flush = |value: f64| if (value as f32).is_subnormal() { 0.0 } else { value as f32 };
        let flushing = device(flush);
        assert!(flushing.rounds_to_nearest && !flushing.keeps_subnormals && flushing.keeps_infinities, "{flushing}");
        let clamped = device(|value| value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32);
        assert!(clamped.rounds_to_nearest && !clamped.keeps_infinities, "{clamped}");
    }

    #[test]
    fn two_roundings_and_short_divisions_are_found() {
        let triples = triples();
        let results: Vec<[f32; 4]> =
            triples.iter().map(|&[a, b, c]| [a + b, a * b, a * b + c, a * (1.0 / b)]).collect();
        let arithmetic = Arithmetic::of(&triples, &results);
        assert!(arithmetic.rounds_to_nearest && !arithmetic.fuses, "{arithmetic}");
        assert!(arithmetic.division > 0.6 && arithmetic.division < 2.5, "{arithmetic}");
        let text = arithmetic.to_string();
        assert!(text.starts_with("rounds to nearest, multiply-adds of two roundings, subnormals kept, "), "{text}");
    }
}
