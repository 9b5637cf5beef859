//! The roofline model: upper bounds of what a machine can do, to compare times with.
//!
//! S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
//! Communications of the ACM 52 (2009). `Gpu::roofline` and `cpu::roofline` measure it.

/// Highest rates of a device, as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Floating-point operations per second, two for each multiply-add.
    pub flops: f64,
    /// Bytes per second between device and memory; bytes read and bytes written both count.
    pub bytes: f64,
}

/// The resource that limits a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Arithmetic takes longer than moving the data.
    Compute,
    /// Moving the data takes longer than arithmetic.
    Memory,
}

impl Limit {
    /// Name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Compute => "compute",
            Limit::Memory => "memory",
        }
    }
}

impl Roofline {
    /// The limit of a computation of `flops` operations that moves `bytes` bytes, and its shortest time in seconds.
    pub fn limit(&self, flops: f64, bytes: f64) -> (Limit, f64) {
        let (compute, memory) = (flops / self.flops, bytes / self.bytes);
        if compute >= memory { (Limit::Compute, compute) } else { (Limit::Memory, memory) }
    }

    /// Most operations per second at an intensity, in operations per byte.
    pub fn at(&self, intensity: f64) -> f64 {
        self.flops.min(self.bytes * intensity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_is_the_limit() {
        let roofline = Roofline { flops: 100.0, bytes: 10.0 };
        assert_eq!(roofline.limit(200.0, 10.0), (Limit::Compute, 2.0));
        assert_eq!(roofline.limit(200.0, 30.0), (Limit::Memory, 3.0));
        assert_eq!((roofline.at(5.0), roofline.at(50.0)), (50.0, 100.0));
    }
}
