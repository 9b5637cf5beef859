//! Predicted times of kernels, by cause. On a software driver they are sums of measured costs: [`Work`]. On a GPU they are those of a
//! device model for the dispatches: [`Tally`].

use crate::caps::{Caps, SOFTWARE, Speed};
use conv1d_models::{self as models, Estimate, Model};

/// A predicted time in seconds, by cause. It is rough and serves to compare candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Seconds of arithmetic, including that of the empty parts of tiles.
    pub sums: f64,
    /// Seconds of loading samples and weights in the main loop, from memory or workgroup memory. On a GPU, loads and stores run beside
    /// the arithmetic: the seconds that they take longer.
    pub loads: f64,
    /// Seconds of storing results. On a GPU they are part of `loads`.
    pub stores: f64,
    /// Seconds of the dispatches that prepare operands, or add partial sums: packed weights, columns, textures.
    pub packing: f64,
    /// Seconds of starting dispatches.
    pub launches: f64,
    /// Fraction of the device that the main dispatch keeps busy. The times of sums, loads and stores are already divided by it.
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

/// A dispatch in operations of lanes, those of idle lanes too. Subgroups of the device make instructions and requests from them.
///
/// Tests compare these numbers with those that the interpreter counts (`src/paper.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tally {
    pub(super) workgroups: f64,
    /// Invocations of a workgroup.
    pub(super) invocations: f64,
    /// Values that an invocation keeps at once.
    pub(super) registers: f64,
    pub(super) workgroup_bytes: f64,
    pub(super) multiply_adds: f64,
    pub(super) integers: f64,
    /// Operations on integers that all lanes share.
    pub(super) scalars: f64,
    pub(super) divisions: f64,
    /// Samples, weights, and others.
    pub(super) loads: [Loads; 2],
    pub(super) stores: Loads,
    /// Loads and stores of workgroup memory, and their words.
    pub(super) staged: f64,
    pub(super) staged_words: f64,
    /// Elements that each workgroup loads, each counted once a workgroup.
    pub(super) fetched: f64,
    /// Elements that all workgroups load or store, each counted once.
    pub(super) memory: f64,
    pub(super) barriers: f64,
    /// Waits for loads, of each invocation.
    pub(super) waits: f64,
}

/// Loads or stores of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Loads {
    pub(super) count: f64,
    /// Words of each.
    pub(super) words: f64,
    /// Elements from one lane to the next; 0 if all lanes of a subgroup access one address.
    pub(super) distance: f64,
    /// Neighbouring lanes that access one address.
    pub(super) sharing: f64,
}

impl Loads {
    /// Loads of single elements, `distance` elements apart.
    pub(super) fn apart(count: f64, distance: u32) -> Loads {
        Loads { count, words: 1.0, distance: distance.into(), sharing: 1.0 }
    }

    /// Loads of `words` elements at one address for all lanes.
    pub(super) fn shared(count: f64, words: f64) -> Loads {
        Loads { count, words, distance: 0.0, sharing: 1.0 }
    }

    /// Requests, and sectors of 32 bytes, of subgroups of so many lanes.
    fn requests(&self, lanes: f64) -> [f64; 2] {
        let requests = self.count / lanes;
        let different = if self.distance == 0.0 { 1.0 } else { (lanes / self.sharing).max(1.0) };
        // Each lane's own sectors, or those of the range that all lanes cover, whichever are fewer.
        let own = (self.words / 8.0).max(1.0);
        let covered = ((different - 1.0) * self.distance + self.words) / 8.0;
        // A range that starts anywhere reaches into one more sector in most cases.
        let covered = covered.ceil() + if different > 1.0 && self.words < 4.0 { 0.5 } else { 0.0 };
        [requests, requests * covered.min(different * own).max(1.0)]
    }
}

impl Tally {
    /// The work on a device.
    pub(super) fn work(&self, model: &Model) -> models::Work {
        let lanes = f64::from(model.subgroup.value).min(self.invocations.max(4.0));
        let subgroup = f64::from(model.subgroup.value);
        let [mut requests, mut sectors, mut shared] = [0.0; 3];
        for loads in self.loads {
            let [of_loads, of_sectors] = loads.requests(lanes);
            requests += of_loads;
            sectors += of_sectors;
            shared += if loads.distance == 0.0 { of_loads } else { 0.0 };
        }
        let [stores, store_sectors] = self.stores.requests(lanes);
        models::Work {
            workgroups: self.workgroups,
            invocations: self.invocations,
            subgroup,
            registers: self.registers,
            workgroup_bytes: self.workgroup_bytes,
            floats: self.multiply_adds / lanes,
            integers: self.integers / lanes,
            scalars: self.scalars / lanes,
            divisions: self.divisions / lanes,
            workgroup_requests: self.staged / lanes,
            workgroup_cycles: (self.staged_words / 32.0).max(self.staged / lanes),
            loads: requests,
            load_sectors: sectors,
            shared_loads: shared,
            shared_sectors: shared,
            stores,
            store_sectors,
            fetched_sectors: self.fetched / 8.0,
            memory_bytes: 4.0 * self.memory,
            barriers: self.barriers,
            waits: self.waits / lanes,
            ..models::Work::default()
        }
    }
}

/// Share of the work behind the longest cause that counts, so that of two variants with one bound, such as that of memory, the one with
/// less of everything else is chosen.
const HIDDEN: f64 = 0.01;

/// The predicted time of a variant on a GPU: of its main dispatch, and of those beside it. `launches` may be more than these, where some
/// are too small to tally.
pub(super) fn on_model(main: &Tally, beside: &[Tally], model: &Model) -> Prediction {
    let estimate = Estimate::new(&main.work(model), model);
    let sums = estimate.arithmetic.max(estimate.issue);
    let longest = estimate.seconds() - estimate.launch;
    let all: f64 = estimate.parts().iter().map(|(_, seconds)| seconds).sum();
    let whole = longest + HIDDEN * (all - longest);
    let beside = beside.iter().map(|tally| Estimate::new(&tally.work(model), model));
    let (packing, launches) = beside.fold((0.0, estimate.launch), |(packing, launches), estimate| {
        (packing + estimate.seconds() - estimate.launch, launches + estimate.launch)
    });
    Prediction { sums, loads: whole - sums, stores: 0.0, packing, launches, busy: estimate.balance }
}

/// The predicted time of a variant: its costs on a software driver, or its dispatches on the model of a device, for subgroups of so many
/// lanes.
pub(super) fn predict(
    caps: &Caps,
    costs: impl FnOnce(&Speed) -> Work,
    tallies: impl FnOnce(f64) -> (Tally, Vec<Tally>),
) -> Prediction {
    match caps.model {
        None => costs(&SOFTWARE).on(&SOFTWARE),
        Some(model) => {
            let (main, beside) = tallies(model.subgroup.value.into());
            on_model(&main, &beside, model)
        }
    }
}
