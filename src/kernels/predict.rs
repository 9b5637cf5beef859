//! What a kernel is predicted to take, and what for.

use crate::caps::Speed;

/// A predicted time in seconds by what takes it: rough, for comparing candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Multiply-adds, those of the empty parts of tiles included.
    pub sums: f64,
    /// Loading samples and weights while summing, from memory or workgroup memory.
    pub loads: f64,
    /// Storing results.
    pub stores: f64,
    /// Laying operands out before: columns, packed textures.
    pub packing: f64,
    /// Starting dispatches.
    pub launches: f64,
    /// Share of the device that the sums keep busy: what the times of sums, loads and stores were divided by.
    pub busy: f64,
}

impl Prediction {
    /// Of what cannot be done.
    pub(crate) const NEVER: Prediction =
        Prediction { sums: 0.0, loads: 0.0, stores: 0.0, packing: 0.0, launches: f64::INFINITY, busy: 1.0 };

    /// The total of several parts with their counts. `busy` is the mean over the working time.
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

    /// The total.
    pub fn seconds(&self) -> f64 {
        self.sums + self.loads + self.stores + self.packing + self.launches
    }

    /// The times with their names.
    pub(crate) fn parts(&self) -> [(&'static str, f64); 5] {
        let Prediction { sums, loads, stores, packing, launches, .. } = *self;
        [("sums", sums), ("loads", loads), ("stores", stores), ("packing", packing), ("launches", launches)]
    }
}

/// Layouts with their predictions, the fastest first; of equally fast ones the first comes first.
pub(super) fn rank<L: Copy>(
    layouts: impl Iterator<Item = L>,
    predict: impl Fn(&L) -> Prediction,
) -> Vec<(L, Prediction)> {
    let layouts: Vec<(L, Prediction)> = layouts.map(|layout| (layout, predict(&layout))).collect();
    let seconds = layouts.iter().map(|(_, prediction)| prediction.seconds()).collect();
    ascending(seconds).into_iter().map(|index| layouts[index]).collect()
}

/// The indices of numbers in ascending order of these; of equal ones the first comes first.
fn ascending(numbers: Vec<f64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    order
}

/// The work of a kernel, counted in multiply-adds that take as long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub(super) sums: f64,
    pub(super) loads: f64,
    pub(super) stores: f64,
    pub(super) packing: f64,
    pub(super) dispatches: f64,
    /// Share of the device that it keeps busy.
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
