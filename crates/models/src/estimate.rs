//! Times from the work of a dispatch and a device model.

use crate::{Model, WorkgroupMemory};

/// Integer instructions of a division by a value that is not constant: about 20 on RDNA (Mesa's ACO, 2026-11-27).
const DIVISION: f64 = 20.0;
/// Slots of a multiply-add that an operation of [`Work::specials`] takes: the units for them have a quarter to an eighth of the lanes,
/// and a division, a root or an exponential is several instructions around one of theirs.
const SPECIAL: f64 = 8.0;
/// Registers that a compiled shader needs beside the values that are alive: addresses, counters, temporaries. Mesa's ACO takes up to 14
/// more for conv1d's kernels, NVIDIA's compiler 15 to 41 more for the matrix products of the ladder on an RTX A6000.
const MORE_REGISTERS: f64 = 16.0;
/// Latency of a load that the first-level cache answers, and of one that the L2 answers, as shares of the latency of memory: 33 and 200
/// to 260 of about 500 clocks on NVIDIA's devices.
const CACHE_LATENCY: f64 = 0.07;
const L2_LATENCY: f64 = 0.5;
/// Clocks from an instruction of arithmetic to one that uses its result. A subgroup alone starts an instruction in every clock only if
/// as many of them do not wait for each other.
const PIPELINE: f64 = 4.0;

/// The work of a dispatch: what its time depends on. Numbers of all workgroups together, unless they say otherwise. Instructions and
/// requests are those of subgroups with an active lane.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Work {
    /// Workgroups.
    pub workgroups: f64,
    /// Invocations of a workgroup.
    pub invocations: f64,
    /// Lanes of a subgroup.
    pub subgroup: f64,
    /// Values that an invocation keeps in registers at once.
    pub registers: f64,
    /// Bytes of workgroup memory of a workgroup.
    pub workgroup_bytes: f64,
    /// Instructions on floats, a multiply-add counting as one, without the specials.
    pub floats: f64,
    /// Instructions on integers: additions, shifts, comparisons, selections.
    pub integers: f64,
    /// Products of integers.
    pub products: f64,
    /// Divisions of integers by values that are not constant.
    pub divisions: f64,
    /// Divisions of floats, roots, exponentials and the like.
    pub specials: f64,
    /// Instructions whose operands are the same in all lanes.
    pub scalars: f64,
    /// Requests to workgroup memory.
    pub workgroup_requests: f64,
    /// Cycles of 32 banks of 4 bytes that they take.
    pub workgroup_cycles: f64,
    /// Loads from storage and textures.
    pub loads: f64,
    /// Sectors of 32 bytes of each of these loads.
    pub load_sectors: f64,
    /// Those of the loads in which all lanes load from one address, and their sectors.
    pub shared_loads: f64,
    /// Sectors of the shared loads.
    pub shared_sectors: f64,
    /// Stores to storage and textures.
    pub stores: f64,
    /// Sectors of each of these stores.
    pub store_sectors: f64,
    /// Sectors that each workgroup loads, each counted once a workgroup.
    pub fetched_sectors: f64,
    /// Bytes of memory that are used, each counted once.
    pub memory_bytes: f64,
    /// Barriers.
    pub barriers: f64,
    /// Times that a subgroup waits for loads. Loads that do not depend on each other wait together.
    pub waits: f64,
}

/// The time of a dispatch on a device, by cause, in seconds. All causes work at once, so that the largest counts.
///
/// It is an estimate. It does not see the order of instructions, the registers that the compiler takes, hits of the L2, or clocks that
/// change under load. `docs/paper.md` of conv1d compares it with measured times.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct Estimate {
    /// Arithmetic of the lanes of all subgroups that have an active one.
    pub arithmetic: f64,
    /// Starting instructions.
    pub issue: f64,
    /// Accesses of workgroup memory, with conflicts of banks.
    pub workgroup_memory: f64,
    /// Loads and stores through the first-level cache: the sectors of each request.
    pub cache: f64,
    /// Sectors that pass between the L2 and the processors.
    pub l2: f64,
    /// Bytes that pass between memory and the device at least.
    pub memory: f64,
    /// Waiting for loads, with the subgroups that a processor holds at once.
    pub latency: f64,
    /// Starting the dispatch. It is added to the largest of the others.
    pub launch: f64,
    /// Workgroups that a processor holds at once.
    pub resident: f64,
    /// Mean work of a processor, as a share of that of the busiest: 1 if all are busy to the end.
    pub balance: f64,
}

impl Estimate {
    /// The time of a dispatch.
    #[must_use]
    pub fn new(work: &Work, model: &Model) -> Self {
        if work.workgroups <= 0.0 {
            return Self { launch: model.launch.value, balance: 1.0, ..Self::default() };
        }
        let processors = model.processors.value;
        let resident = resident(work, model);
        let of_busiest = (work.workgroups / processors).ceil();
        let balance = work.workgroups / (of_busiest * processors);
        let seconds = |clocks: f64| clocks / (processors * balance * model.clock.value);
        let subgroups = (work.invocations / work.subgroup).ceil();
        let at_once = resident.min(of_busiest);
        // A processor with few subgroups does not fill its pipelines. A quarter of the registers are sums that do not wait for each
        // other, at least.
        let independent = (work.registers / 4.0).clamp(1.0, PIPELINE);
        let filled = (at_once * subgroups * independent / (model.issue.value * PIPELINE)).min(1.0);
        let waits = work.waits / work.workgroups / subgroups;
        let turns = of_busiest / at_once;
        Self {
            arithmetic: seconds(arithmetic(work, model) / filled),
            issue: seconds(issue(work, model) / filled),
            workgroup_memory: seconds(workgroup_memory(work, model)),
            cache: seconds(cache(work, model)),
            l2: 32.0 * (work.fetched_sectors + work.store_sectors) / model.l2_bandwidth.value,
            memory: work.memory_bytes / model.bandwidth.value,
            latency: turns * waits * latency(work, model),
            launch: model.launch.value,
            resident,
            balance,
        }
    }

    /// The largest cause, and the launch.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.parts().iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max) + self.launch
    }

    /// The causes that work at once, with their names.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, f64); 7] {
        [
            ("arithmetic", self.arithmetic),
            ("issue", self.issue),
            ("workgroup memory", self.workgroup_memory),
            ("cache", self.cache),
            ("L2", self.l2),
            ("memory", self.memory),
            ("latency", self.latency),
        ]
    }

    /// The name of the largest cause, or `launch` if it takes longer than all others.
    #[must_use]
    pub fn bound(&self) -> &'static str {
        // The first of equal causes.
        let largest = self.parts().into_iter().rev().max_by(|a, b| a.1.total_cmp(&b.1));
        largest.filter(|(_, seconds)| *seconds > self.launch).map_or("launch", |(name, _)| name)
    }
}

/// Instructions on floats, and on integers without products, with those that stand for several. Values that all lanes share take
/// lanes where there is no scalar unit.
fn instructions(work: &Work, model: &Model) -> (f64, f64) {
    let floats = work.floats + SPECIAL * work.specials;
    let scalars = if model.scalar_unit { 0.0 } else { work.scalars };
    (floats, work.integers + DIVISION * work.divisions + scalars)
}

/// Clocks of arithmetic, as if one processor did everything. So are the clocks below.
fn arithmetic(work: &Work, model: &Model) -> f64 {
    let (floats, integers) = instructions(work, model);
    let rate = model.sustained_multiply_adds.value;
    let of_floats = floats / rate;
    let of_integers = integers / model.integers.value + work.products / model.integer_multiplies.value;
    let clocks = if model.integers_beside {
        ((floats + integers + work.products) / rate).max(of_floats).max(of_integers)
    } else {
        of_floats + of_integers
    };
    work.subgroup * clocks
}

fn issue(work: &Work, model: &Model) -> f64 {
    let (floats, integers) = instructions(work, model);
    let mut issued = floats + integers + work.products;
    if !model.separate_issue {
        issued += requests(work, model) + work.workgroup_requests + work.barriers;
    }
    issued / model.issue.value
}

/// Requests to the first-level cache. A scalar unit loads by itself what all lanes share.
fn requests(work: &Work, model: &Model) -> f64 {
    let shared = if model.scalar_unit { work.shared_loads } else { 0.0 };
    (work.loads - shared).max(0.0) + work.stores
}

/// Bytes of the cycles of workgroup memory.
fn workgroup_bytes(work: &Work) -> f64 {
    128.0 * work.workgroup_cycles
}

fn workgroup_memory(work: &Work, model: &Model) -> f64 {
    match model.workgroup_memory {
        WorkgroupMemory::Cached => 0.0,
        WorkgroupMemory::Separate | WorkgroupMemory::Carved => workgroup_bytes(work) / model.workgroup_bandwidth.value,
    }
}

fn cache(work: &Work, model: &Model) -> f64 {
    let shared = if model.scalar_unit { work.shared_sectors } else { 0.0 };
    let mut bytes = 32.0 * ((work.load_sectors - shared).max(0.0) + work.store_sectors);
    if model.workgroup_memory == WorkgroupMemory::Cached {
        bytes += workgroup_bytes(work);
    }
    (bytes / model.cache_bandwidth.value).max(requests(work, model))
}

/// Mean latency of a load: from the L2 for sectors that a workgroup loads first, from the first-level cache for the others.
fn latency(work: &Work, model: &Model) -> f64 {
    let missing = if work.load_sectors > 0.0 { (work.fetched_sectors / work.load_sectors).min(1.0) } else { 0.0 };
    model.latency.value * (missing * L2_LATENCY + (1.0 - missing) * CACHE_LATENCY)
}

/// Workgroups that a processor holds at once, at least one.
fn resident(work: &Work, model: &Model) -> f64 {
    let residency = &model.residency;
    let step = f64::from(residency.register_step.value);
    let registers = ((work.registers + MORE_REGISTERS) / step).ceil() * step;
    let registers = registers.min(f64::from(residency.max_registers.value));
    let subgroups = (work.invocations / work.subgroup).ceil();
    let by_subgroups = f64::from(residency.subgroups.value) / subgroups;
    let by_registers = f64::from(residency.registers.value) / (registers * subgroups * work.subgroup);
    let reserve = residency.workgroup_reserve.map_or(0, |reserve| reserve.value);
    let bytes = work.workgroup_bytes + f64::from(reserve);
    let by_bytes = if bytes > 0.0 { f64::from(residency.workgroup_bytes.value) / bytes } else { f64::INFINITY };
    let most = f64::from(residency.workgroups.value);
    most.min(by_subgroups).min(by_registers).min(by_bytes).floor().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MODELS, model};

    /// Work of multiply-adds alone that fills a device.
    fn multiply_adds(model: &Model) -> Work {
        let (subgroup, workgroups) = (f64::from(model.subgroup.value), model.processors.value * 64.0);
        Work {
            workgroups,
            invocations: 256.0,
            subgroup,
            registers: 32.0,
            floats: workgroups * 256.0 / subgroup * 1e5,
            ..Work::default()
        }
    }

    /// Nothing but multiply-adds runs at the sustained rate of the device.
    #[test]
    fn full_devices_reach_their_rate() {
        for model in MODELS {
            let work = multiply_adds(model);
            let rate = 2.0 * model.processors.value * model.clock.value * model.sustained_multiply_adds.value;
            let expected = 2.0 * work.floats * work.subgroup / rate + model.launch.value;
            let estimate = Estimate::new(&work, model);
            assert!((estimate.seconds() / expected - 1.0).abs() < 1e-9, "{}: {estimate:?}", model.name);
            assert_eq!(estimate.bound(), "arithmetic", "{}", model.name);
        }
    }

    /// One workgroup more than processors takes twice as long as one for each.
    #[test]
    fn the_last_wave_has_a_tail() {
        let model = model("rtx-3060").expect("a known name");
        let time = |workgroups: f64| {
            let all = multiply_adds(model);
            let work = Work { workgroups, floats: all.floats / all.workgroups * workgroups, ..all };
            Estimate::new(&work, model).arithmetic
        };
        let processors = model.processors.value;
        assert!((time(processors + 1.0) / time(processors) - 2.0).abs() < 1e-9);
        assert!((time(1.0) / time(processors) - 1.0).abs() < 1e-9);
    }

    /// Much more work of any kind takes more time.
    #[test]
    fn more_work_takes_more_time() {
        let base = Work {
            workgroups: 100.0,
            invocations: 64.0,
            subgroup: 32.0,
            registers: 40.0,
            workgroup_bytes: 4096.0,
            floats: 1e6,
            integers: 1e5,
            products: 1e4,
            divisions: 1e3,
            specials: 1e3,
            scalars: 1e4,
            workgroup_requests: 1e5,
            workgroup_cycles: 2e5,
            loads: 1e5,
            load_sectors: 4e5,
            shared_loads: 1e4,
            shared_sectors: 1e4,
            stores: 1e4,
            store_sectors: 4e4,
            fetched_sectors: 1e5,
            memory_bytes: 1e6,
            barriers: 1e3,
            waits: 1e4,
        };
        for model in MODELS {
            let before = Estimate::new(&base, model).seconds();
            let more: [fn(&mut Work); 10] = [
                |w| w.floats *= 1e6,
                |w| w.integers *= 1e6,
                |w| w.products *= 1e6,
                |w| w.divisions *= 1e6,
                |w| w.specials *= 1e6,
                |w| w.workgroup_cycles *= 1e6,
                |w| w.store_sectors *= 1e6,
                |w| w.memory_bytes *= 1e6,
                |w| w.waits *= 1e6,
                |w| w.fetched_sectors *= 1e6,
            ];
            for change in more {
                let mut work = base;
                change(&mut work);
                assert!(Estimate::new(&work, model).seconds() > before, "{}: {work:?}", model.name);
            }
        }
    }
}
