//! Predicted times of kernels, by cause.

use crate::caps::Speed;

/// A predicted time in seconds, by cause. It is rough and serves to compare candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Seconds of multiply-adds, including those of the empty parts of tiles.
    pub sums: f64,
    /// Seconds of loading samples and weights in the main loop, from memory or workgroup memory.
    pub loads: f64,
    /// Seconds of storing results.
    pub stores: f64,
    /// Seconds of preparing operands before the main loop: columns, packed textures.
    pub packing: f64,
    /// Seconds of starting dispatches.
    pub launches: f64,
    /// Fraction of the device that the sums keep busy. The times of sums, loads and stores are already divided by it.
    pub busy: f64,
}

impl Prediction {
    /// The prediction of a variant that cannot compute the problem.
    pub(crate) const NEVER: Prediction =
        Prediction { sums: 0.0, loads: 0.0, stores: 0.0, packing: 0.0, launches: f64::INFINITY, busy: 1.0 };

    /// The sum of several parts, each times its count. `busy` is the mean, weighted by the time of sums, loads and stores.
    pub(crate) fn of_all(mut parts: Vec<(Prediction, u64)>) -> Prediction {
        let none = Prediction { sums: 0.0, loads: 0.0, stores: 0.0, packing: 0.0, launches: 0.0, busy: 1.0 };
        if let [(only, 1)] = parts[..] {
            return only;
        }
        parts.retain(|&(_, count)| count > 0);
        let mut all = parts.iter().fold(none, |all, &(part, count)| {
            let times = count as f64;
            Prediction {
                sums: all.sums + times * part.sums,
                loads: all.loads + times * part.loads,
                stores: all.stores + times * part.stores,
                packing: all.packing + times * part.packing,
                launches: all.launches + times * part.launches,
                busy: all.busy,
            }
        });
        let working = |p: &Prediction| p.sums + p.loads + p.stores;
        let busy: f64 = parts.iter().map(|(part, count)| *count as f64 * working(part) * part.busy).sum();
        if working(&all) > 0.0 && busy.is_finite() {
            all.busy = busy / working(&all);
        }
        all
    }

    /// The total in seconds.
    pub fn seconds(&self) -> f64 {
        self.sums + self.loads + self.stores + self.packing + self.launches
    }

    /// The times with their names.
    pub(crate) fn parts(&self) -> [(&'static str, f64); 5] {
        let Prediction { sums, loads, stores, packing, launches, .. } = *self;
        [("sums", sums), ("loads", loads), ("stores", stores), ("packing", packing), ("launches", launches)]
    }
}

/// Layouts with their predictions, the fastest first. Equally fast layouts keep their order.
pub(super) fn rank<L: Copy>(
    layouts: impl Iterator<Item = L>,
    predict: impl Fn(&L) -> Prediction,
) -> Vec<(L, Prediction)> {
    let layouts: Vec<(L, Prediction)> = layouts.map(|layout| (layout, predict(&layout))).collect();
    let seconds = layouts.iter().map(|(_, prediction)| prediction.seconds()).collect();
    ascending(seconds).into_iter().map(|index| layouts[index]).collect()
}

/// Indices that sort numbers in ascending order. Equal numbers keep their order.
fn ascending(numbers: Vec<f64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    order
}

/// The work of a kernel, in multiply-adds of equal duration; `dispatches` is a count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub(super) sums: f64,
    pub(super) loads: f64,
    pub(super) stores: f64,
    pub(super) packing: f64,
    pub(super) dispatches: f64,
    /// Fraction of the device that the kernel keeps busy.
    pub(super) busy: f64,
}

impl Work {
    pub(super) fn on(self, speed: &Speed) -> Prediction {
        let seconds = |multiply_adds: f64| multiply_adds / speed.multiply_adds;
        Prediction {
            sums: seconds(self.sums / self.busy),
            loads: seconds(self.loads / self.busy),
            stores: seconds(self.stores / self.busy),
            packing: seconds(self.packing),
            launches: self.dispatches * speed.dispatch,
            busy: self.busy,
        }
    }
}
