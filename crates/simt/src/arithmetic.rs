//! The operations of 32-bit words, on one value and on the lanes of a workgroup.

/// An operation. Floats are rounded to nearest, integers wrap, comparisons give 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    FAdd,
    FSub,
    FMul,
    FDiv,
    FRem,
    FNeg,
    FAbs,
    FMin,
    FMax,
    FSign,
    FFloor,
    FCeil,
    FRound,
    FTrunc,
    FSqrt,
    FInverseSqrt,
    FExp,
    FExp2,
    FLog,
    FLog2,
    FPow,
    FSin,
    FCos,
    FTan,
    FSinh,
    FCosh,
    FTanh,
    FAsin,
    FAcos,
    FAtan,
    FAtan2,
    FAsinh,
    FAcosh,
    FAtanh,
    Ldexp,
    Fma,
    FEq,
    FNe,
    FLt,
    FLe,
    IAdd,
    ISub,
    IMul,
    UDiv,
    SDiv,
    URem,
    SRem,
    INeg,
    IAbs,
    SSign,
    UMin,
    UMax,
    SMin,
    SMax,
    And,
    Or,
    Xor,
    Not,
    LogicalNot,
    ShiftLeft,
    ShiftRight,
    ShiftRightSigned,
    IEq,
    INe,
    ULt,
    ULe,
    SLt,
    SLe,
    Select,
    FloatToUnsigned,
    FloatToSigned,
    UnsignedToFloat,
    SignedToFloat,
    CountOnes,
    LeadingZeros,
    TrailingZeros,
    ReverseBits,
    FirstTrailing,
    FirstLeadingUnsigned,
    FirstLeadingSigned,
    ExtractUnsigned,
    ExtractSigned,
}

/// How a multiply-add rounds. WGSL allows either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fma {
    /// The product is rounded, then the sum.
    #[default]
    Separate,
    /// Only the sum is rounded.
    Fused,
}

/// Kinds of operations that hardware executes at different rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cost {
    MultiplyAdd,
    Float,
    Integer,
    Product,
    Division,
    Special,
}

impl Code {
    pub(crate) fn cost(self) -> Cost {
        use Code::{
            FAcos, FAcosh, FAsin, FAsinh, FAtan, FAtan2, FAtanh, FCos, FCosh, FDiv, FExp, FExp2, FInverseSqrt, FLog,
            FLog2, FPow, FRem, FSin, FSinh, FSqrt, FTan, FTanh, Fma, SDiv, SRem, UDiv, URem,
        };
        match self {
            Fma => Cost::MultiplyAdd,
            Code::IMul => Cost::Product,
            UDiv | SDiv | URem | SRem => Cost::Division,
            FDiv | FRem | FSqrt | FInverseSqrt | FExp | FExp2 | FLog | FLog2 | FPow | FSin | FCos | FTan | FSinh
            | FCosh | FTanh | FAsin | FAcos | FAtan | FAtan2 | FAsinh | FAcosh | FAtanh => Cost::Special,
            Code::FAdd
            | Code::FSub
            | Code::FMul
            | Code::FNeg
            | Code::FAbs
            | Code::FMin
            | Code::FMax
            | Code::FSign
            | Code::FFloor
            | Code::FCeil
            | Code::FRound
            | Code::FTrunc
            | Code::Ldexp
            | Code::FEq
            | Code::FNe
            | Code::FLt
            | Code::FLe
            | Code::UnsignedToFloat
            | Code::SignedToFloat
            | Code::FloatToUnsigned
            | Code::FloatToSigned => Cost::Float,
            _ => Cost::Integer,
        }
    }

    /// Number of operands.
    pub(crate) fn operands(self) -> usize {
        use Code::{
            CountOnes, FAbs, FAcos, FAcosh, FAsin, FAsinh, FAtan, FAtanh, FCeil, FCos, FCosh, FExp, FExp2, FFloor,
            FInverseSqrt, FLog, FLog2, FNeg, FRound, FSign, FSin, FSinh, FSqrt, FTan, FTanh, FTrunc,
            FirstLeadingSigned, FirstLeadingUnsigned, FirstTrailing, FloatToSigned, FloatToUnsigned, IAbs, INeg,
            LeadingZeros, LogicalNot, Not, ReverseBits, SSign, SignedToFloat, TrailingZeros, UnsignedToFloat,
        };
        match self {
            Code::Fma | Code::Select | Code::ExtractSigned | Code::ExtractUnsigned => 3,
            FNeg | FAbs | FSign | FFloor | FCeil | FRound | FTrunc | FSqrt | FInverseSqrt | FExp | FExp2 | FLog
            | FLog2 | FSin | FCos | FTan | FSinh | FCosh | FTanh | FAsin | FAcos | FAtan | FAsinh | FAcosh | FAtanh
            | INeg | IAbs | SSign | Not | LogicalNot | FloatToUnsigned | FloatToSigned | UnsignedToFloat
            | SignedToFloat | CountOnes | LeadingZeros | TrailingZeros | ReverseBits | FirstTrailing
            | FirstLeadingUnsigned | FirstLeadingSigned => 1,
            _ => 2,
        }
    }

    /// Whether the operands may be exchanged.
    pub(crate) fn commutes(self) -> bool {
        matches!(self, Code::FAdd | Code::FMul | Code::IAdd | Code::IMul | Code::And | Code::Or | Code::Xor | Code::IEq)
    }
}

fn f(bits: u32) -> f32 {
    f32::from_bits(bits)
}

/// `a * b + c` rounded once. The product of two `f32` is exact in `f64`; the sum is rounded to odd there, which makes the second
/// rounding, to `f32`, that of the exact sum (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
fn fused(a: u32, b: u32, c: u32) -> u32 {
    let (product, c) = (f64::from(f(a)) * f64::from(f(b)), f64::from(f(c)));
    let sum = product + c;
    let back = sum - product;
    let error = (product - (sum - back)) + (c - back);
    let even = sum.to_bits() & 1 == 0;
    let inexact = error != 0.0 && sum.is_finite() && error.is_finite();
    let bits = sum.to_bits();
    let odd = match inexact && even {
        true if (error > 0.0) == (sum > 0.0) => bits + 1,
        true => bits.wrapping_sub(1),
        false => bits,
    };
    (f64::from_bits(odd) as f32).to_bits()
}

fn separate(a: u32, b: u32, c: u32) -> u32 {
    (f(a) * f(b) + f(c)).to_bits()
}

/// Evaluates an operation with `$one`, `$two` or `$three`, by its number of operands.
macro_rules! table {
    ($code:expr, $fma:expr, $one:ident, $two:ident, $three:ident) => {
        match $code {
            Code::FAdd => $two!(|a, b| (f(a) + f(b)).to_bits()),
            Code::FSub => $two!(|a, b| (f(a) - f(b)).to_bits()),
            Code::FMul => $two!(|a, b| (f(a) * f(b)).to_bits()),
            Code::FDiv => $two!(|a, b| (f(a) / f(b)).to_bits()),
            Code::FRem => $two!(|a, b| (f(a) % f(b)).to_bits()),
            Code::FNeg => $one!(|a| a ^ 0x8000_0000),
            Code::FAbs => $one!(|a| a & 0x7fff_ffff),
            Code::FMin => $two!(|a, b| f(a).min(f(b)).to_bits()),
            Code::FMax => $two!(|a, b| f(a).max(f(b)).to_bits()),
            Code::FSign => $one!(|a| {
                let a = f(a);
                (if a > 0.0 {
                    1.0_f32
                } else if a < 0.0 {
                    -1.0
                } else {
                    0.0
                })
                .to_bits()
            }),
            Code::FFloor => $one!(|a| libm::floorf(f(a)).to_bits()),
            Code::FCeil => $one!(|a| libm::ceilf(f(a)).to_bits()),
            Code::FRound => $one!(|a| libm::rintf(f(a)).to_bits()),
            Code::FTrunc => $one!(|a| libm::truncf(f(a)).to_bits()),
            Code::FSqrt => $one!(|a| f(a).sqrt().to_bits()),
            Code::FInverseSqrt => $one!(|a| (1.0 / f(a).sqrt()).to_bits()),
            Code::FExp => $one!(|a| libm::expf(f(a)).to_bits()),
            Code::FExp2 => $one!(|a| libm::exp2f(f(a)).to_bits()),
            Code::FLog => $one!(|a| libm::logf(f(a)).to_bits()),
            Code::FLog2 => $one!(|a| libm::log2f(f(a)).to_bits()),
            Code::FPow => $two!(|a, b| libm::powf(f(a), f(b)).to_bits()),
            Code::FSin => $one!(|a| libm::sinf(f(a)).to_bits()),
            Code::FCos => $one!(|a| libm::cosf(f(a)).to_bits()),
            Code::FTan => $one!(|a| libm::tanf(f(a)).to_bits()),
            Code::FSinh => $one!(|a| libm::sinhf(f(a)).to_bits()),
            Code::FCosh => $one!(|a| libm::coshf(f(a)).to_bits()),
            Code::FTanh => $one!(|a| libm::tanhf(f(a)).to_bits()),
            Code::FAsin => $one!(|a| libm::asinf(f(a)).to_bits()),
            Code::FAcos => $one!(|a| libm::acosf(f(a)).to_bits()),
            Code::FAtan => $one!(|a| libm::atanf(f(a)).to_bits()),
            Code::FAtan2 => $two!(|a, b| libm::atan2f(f(a), f(b)).to_bits()),
            Code::FAsinh => $one!(|a| libm::asinhf(f(a)).to_bits()),
            Code::FAcosh => $one!(|a| libm::acoshf(f(a)).to_bits()),
            Code::FAtanh => $one!(|a| libm::atanhf(f(a)).to_bits()),
            Code::Ldexp => $two!(|a, b| libm::ldexpf(f(a), b as i32).to_bits()),
            Code::Fma => match $fma {
                Fma::Separate => $three!(|a, b, c| separate(a, b, c)),
                Fma::Fused => $three!(|a, b, c| fused(a, b, c)),
            },
            Code::FEq => $two!(|a, b| u32::from(f(a) == f(b))),
            Code::FNe => $two!(|a, b| u32::from(f(a) != f(b))),
            Code::FLt => $two!(|a, b| u32::from(f(a) < f(b))),
            Code::FLe => $two!(|a, b| u32::from(f(a) <= f(b))),
            Code::IAdd => $two!(|a, b| a.wrapping_add(b)),
            Code::ISub => $two!(|a, b| a.wrapping_sub(b)),
            Code::IMul => $two!(|a, b| a.wrapping_mul(b)),
            // WGSL: division by zero gives the dividend, a remainder by zero is 0.
            Code::UDiv => $two!(|a, b| a.checked_div(b).unwrap_or(a)),
            Code::URem => $two!(|a, b| a.checked_rem(b).unwrap_or(0)),
            Code::SDiv => $two!(|a, b| (a as i32).checked_div(b as i32).unwrap_or(a as i32) as u32),
            Code::SRem => $two!(|a, b| (a as i32).checked_rem(b as i32).unwrap_or(0) as u32),
            Code::INeg => $one!(|a| a.wrapping_neg()),
            Code::IAbs => $one!(|a| (a as i32).wrapping_abs() as u32),
            Code::SSign => $one!(|a| (a as i32).signum() as u32),
            Code::UMin => $two!(|a, b| a.min(b)),
            Code::UMax => $two!(|a, b| a.max(b)),
            Code::SMin => $two!(|a, b| (a as i32).min(b as i32) as u32),
            Code::SMax => $two!(|a, b| (a as i32).max(b as i32) as u32),
            Code::And => $two!(|a, b| a & b),
            Code::Or => $two!(|a, b| a | b),
            Code::Xor => $two!(|a, b| a ^ b),
            Code::Not => $one!(|a| !a),
            Code::LogicalNot => $one!(|a| a ^ 1),
            Code::ShiftLeft => $two!(|a, b| a << (b & 31)),
            Code::ShiftRight => $two!(|a, b| a >> (b & 31)),
            Code::ShiftRightSigned => $two!(|a, b| ((a as i32) >> (b & 31)) as u32),
            Code::IEq => $two!(|a, b| u32::from(a == b)),
            Code::INe => $two!(|a, b| u32::from(a != b)),
            Code::ULt => $two!(|a, b| u32::from(a < b)),
            Code::ULe => $two!(|a, b| u32::from(a <= b)),
            Code::SLt => $two!(|a, b| u32::from((a as i32) < b as i32)),
            Code::SLe => $two!(|a, b| u32::from((a as i32) <= b as i32)),
            Code::Select => $three!(|a, b, c| if a != 0 { b } else { c }),
            Code::FloatToUnsigned => $one!(|a| f(a) as u32),
            Code::FloatToSigned => $one!(|a| f(a) as i32 as u32),
            Code::UnsignedToFloat => $one!(|a| (a as f32).to_bits()),
            Code::SignedToFloat => $one!(|a| (a as i32 as f32).to_bits()),
            Code::CountOnes => $one!(|a| a.count_ones()),
            Code::LeadingZeros => $one!(|a| a.leading_zeros()),
            Code::TrailingZeros => $one!(|a| a.trailing_zeros()),
            Code::ReverseBits => $one!(|a| a.reverse_bits()),
            Code::FirstTrailing => $one!(|a| if a == 0 { u32::MAX } else { a.trailing_zeros() }),
            Code::FirstLeadingUnsigned => $one!(|a| if a == 0 { u32::MAX } else { 31 - a.leading_zeros() }),
            Code::FirstLeadingSigned => $one!(|a| {
                let a = if (a as i32) < 0 { !a } else { a };
                if a == 0 { u32::MAX } else { 31 - a.leading_zeros() }
            }),
            Code::ExtractUnsigned => $three!(|a, b, c| {
                let (offset, count) = (b.min(32), c.min(32 - b.min(32)));
                if count == 0 { 0 } else { (a >> offset) & (u32::MAX >> (32 - count)) }
            }),
            Code::ExtractSigned => $three!(|a, b, c| {
                let (offset, count) = (b.min(32), c.min(32 - b.min(32)));
                if count == 0 { 0 } else { (((a >> offset) << (32 - count)) as i32 >> (32 - count)) as u32 }
            }),
        }
    };
}

/// Evaluates an operation on one value. Operands that it does not have are ignored.
pub(crate) fn evaluate(code: Code, fma: Fma, [a, b, c]: [u32; 3]) -> u32 {
    macro_rules! one {
        (|$a:ident| $result:expr) => {{
            let $a = a;
            $result
        }};
    }
    macro_rules! two {
        (|$a:ident, $b:ident| $result:expr) => {{
            let ($a, $b) = (a, b);
            $result
        }};
    }
    macro_rules! three {
        (|$a:ident, $b:ident, $c:ident| $result:expr) => {{
            let ($a, $b, $c) = (a, b, c);
            $result
        }};
    }
    table!(code, fma, one, two, three)
}

/// Evaluates an operation on all lanes. Operands that it does not have may be empty.
pub(crate) fn evaluate_lanes(code: Code, fma: Fma, [a, b, c]: [&[u32]; 3], to: &mut [u32]) {
    macro_rules! one {
        (|$a:ident| $result:expr) => {
            for (to, &$a) in to.iter_mut().zip(a) {
                *to = $result;
            }
        };
    }
    macro_rules! two {
        (|$a:ident, $b:ident| $result:expr) => {
            for ((to, &$a), &$b) in to.iter_mut().zip(a).zip(b) {
                *to = $result;
            }
        };
    }
    macro_rules! three {
        (|$a:ident, $b:ident, $c:ident| $result:expr) => {
            for (((to, &$a), &$b), &$c) in to.iter_mut().zip(a).zip(b).zip(c) {
                *to = $result;
            }
        };
    }
    table!(code, fma, one, two, three);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fused multiply-add is that of the processor, for random bits and for sums that cancel.
    #[test]
    fn a_fused_multiply_add_is_rounded_once() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32
        };
        let mut separate_differs = 0;
        for round in 0..200_000 {
            let (a, b) = (next(), next());
            let (a, b) =
                if round % 2 == 0 { (a, b) } else { (a & 0x83ff_ffff | 0x3f00_0000, b & 0x83ff_ffff | 0x3f00_0000) };
            let c = if round % 3 == 0 { next() } else { (-(f(a) * f(b))).to_bits().wrapping_add(next() % 64) };
            let expected = f(a).mul_add(f(b), f(c));
            let got = f(fused(a, b, c));
            assert!(got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()), "{a:x} {b:x} {c:x}");
            separate_differs += u32::from(f(separate(a, b, c)).to_bits() != got.to_bits());
        }
        assert!(separate_differs > 1000);
    }

    #[test]
    fn integers_follow_wgsl() {
        let with = |code, a, b| evaluate(code, Fma::Separate, [a, b, 0]);
        assert_eq!(with(Code::UDiv, 7, 0), 7);
        assert_eq!(with(Code::URem, 7, 0), 0);
        assert_eq!(with(Code::SDiv, i32::MIN as u32, u32::MAX), i32::MIN as u32);
        assert_eq!(with(Code::SRem, (-7_i32) as u32, 3), (-1_i32) as u32);
        assert_eq!(with(Code::IAdd, u32::MAX, 2), 1);
        assert_eq!(with(Code::ShiftRightSigned, (-8_i32) as u32, 1), (-4_i32) as u32);
        assert_eq!(with(Code::FloatToSigned, (-3e9_f32).to_bits(), 0), i32::MIN as u32);
        assert_eq!(evaluate(Code::ExtractSigned, Fma::Separate, [0xf0, 4, 4]), u32::MAX);
    }
}
