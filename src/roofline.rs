//! The roofline model: what a machine can do at most, to hold times against.
//!
//! S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
//! Communications of the ACM 52 (2009). `Gpu::roofline` and `cpu::roofline` measure it.

/// Highest rates of a device, as measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Floating-point operations per second, two for each multiply-add.
    pub flops: f64,
    /// Bytes per second between device and memory, read and written bytes alike.
    pub bytes: f64,
}

/// What limits a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Its operations take longer than moving its data.
    Compute,
    /// Moving its data takes longer.
    Memory,
}

impl Limit {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Compute => "compute",
            Limit::Memory => "memory",
        }
    }
}

impl Roofline {
    /// Which limit so many operations over so many bytes meet first, and the least seconds that they take.
    pub fn limit(&self, flops: f64, bytes: f64) -> (Limit, f64) {
        let (compute, memory) = (flops / self.flops, bytes / self.bytes);
        if compute >= memory { (Limit::Compute, compute) } else { (Limit::Memory, memory) }
    }

    /// Operations per second that this many operations for each byte allow at most.
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
