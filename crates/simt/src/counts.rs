//! What a dispatch does, in numbers.

use conv1d_models::{Estimate, Model, Work};
use std::collections::BTreeMap;

/// Operations of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Operations {
    /// Multiply-adds: calls of `fma`, and sums of a product that nothing else uses, which compilers join.
    pub multiply_adds: f64,
    /// Other operations on floats, without those below.
    pub floats: f64,
    /// Operations on integers and booleans: additions, shifts, comparisons, selections.
    pub integers: f64,
    /// Products of integers, other than by powers of two.
    pub products: f64,
    /// Divisions and remainders of integers by values that are not constant. Hardware takes some twenty instructions for one. Those by
    /// a constant count as a product and two other operations.
    pub divisions: f64,
    /// Divisions, roots, exponentials and the like.
    pub specials: f64,
}

impl Operations {
    pub(crate) fn add(&mut self, counts: [u32; 6], times: f64) {
        let [multiply_adds, floats, integers, products, divisions, specials] =
            counts.map(|count| f64::from(count) * times);
        self.multiply_adds += multiply_adds;
        self.floats += floats;
        self.integers += integers;
        self.products += products;
        self.divisions += divisions;
        self.specials += specials;
    }

    /// All operations.
    pub fn total(&self) -> f64 {
        self.multiply_adds + self.floats + self.integers + self.products + self.divisions + self.specials
    }

    fn scaled(&self, by: f64) -> Operations {
        Operations {
            multiply_adds: self.multiply_adds * by,
            floats: self.floats * by,
            integers: self.integers * by,
            products: self.products * by,
            divisions: self.divisions * by,
            specials: self.specials * by,
        }
    }

    fn plus(&mut self, other: &Operations) {
        self.multiply_adds += other.multiply_adds;
        self.floats += other.floats;
        self.integers += other.integers;
        self.products += other.products;
        self.divisions += other.divisions;
        self.specials += other.specials;
    }
}

/// Accesses of one kind to one variable.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Accesses {
    /// Accesses of subgroups: an access of each subgroup with an active lane counts once.
    pub requests: f64,
    /// Those of them in which all lanes access one address. Devices with a scalar unit serve these by it.
    pub uniform: f64,
    /// Sectors of the uniform requests.
    pub uniform_sectors: f64,
    /// Bytes that the lanes ask for. Lanes with one address in common count each.
    pub bytes: f64,
    /// Different 32-byte sectors of each request.
    pub sectors: f64,
    /// Different 128-byte lines of each request.
    pub lines: f64,
    /// For workgroup memory: cycles of 32 banks of 4 bytes.
    pub cycles: f64,
    /// The cycles that the same accesses would take without conflicts.
    pub ideal_cycles: f64,
}

impl Accesses {
    pub(crate) fn plus(&mut self, other: &Accesses, times: f64) {
        self.requests += other.requests * times;
        self.uniform += other.uniform * times;
        self.uniform_sectors += other.uniform_sectors * times;
        self.bytes += other.bytes * times;
        self.sectors += other.sectors * times;
        self.lines += other.lines * times;
        self.cycles += other.cycles * times;
        self.ideal_cycles += other.ideal_cycles * times;
    }

    /// Bytes of the sectors that are moved for each byte that is asked for. 1 where neighbouring lanes access neighbouring words; 8
    /// where each lane's word is in a sector of its own; less than 1 where lanes share words.
    pub fn sector_bytes_per_byte(&self) -> f64 {
        if self.bytes > 0.0 { 32.0 * self.sectors / self.bytes } else { 0.0 }
    }

    /// Mean number of lanes that wait for one bank. 1 is without conflicts.
    pub fn conflicts(&self) -> f64 {
        if self.ideal_cycles > 0.0 { self.cycles / self.ideal_cycles } else { 1.0 }
    }
}

/// The kind of memory of a place in the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    /// Uniform variables.
    Uniform,
    /// Storage variables.
    Storage,
    /// Workgroup variables.
    Workgroup,
    /// Textures.
    Texture,
}

/// A place in the text that accesses memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The memory.
    pub memory: Memory,
    /// The variable.
    pub variable: String,
    /// Whether it stores. Read-modify-writes do.
    pub stores: bool,
    /// The line of the text, from 1.
    pub line: u32,
}

/// The memory that a dispatch uses of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Footprint {
    /// Sectors of 32 bytes that each workgroup loads, each counted once a workgroup, of all workgroups: those that the first-level cache
    /// must fetch.
    pub loaded_sectors: f64,
    /// The same for all sectors that a workgroup loads or stores.
    pub workgroup_sectors: f64,
    /// Sectors that the counted workgroups touch. Those of all workgroups, where all were counted.
    pub sectors: f64,
    /// Bytes that are bound.
    pub bytes: f64,
}

/// What a dispatch does. Where only some workgroups were run, the counts are estimates for all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// Workgroups of the dispatch.
    pub workgroups: f64,
    /// Workgroups that were run.
    pub counted: u64,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Lanes of a subgroup.
    pub subgroup: u32,
    /// Operations of the active lanes.
    pub lanes: Operations,
    /// Operations of subgroups with an active lane.
    pub subgroups: Operations,
    /// Operations whose operands are the same in all lanes, once for each subgroup. They are in no other count.
    pub scalars: Operations,
    /// Accesses by place.
    pub sites: BTreeMap<Site, Accesses>,
    /// Memory by variable.
    pub footprints: BTreeMap<String, Footprint>,
    /// Barriers of workgroups.
    pub barriers: f64,
    /// Times that a subgroup waits for loads of storage or textures: pieces of code without branches that have such loads, which can
    /// all wait together.
    pub waits: f64,
    /// Iterations of loops, unrolled ones included, of all invocations.
    pub iterations: f64,
    /// Iterations of the loops of the invocation with the most.
    pub most_iterations: f64,
    /// Registers of an invocation that are alive at once, at least: the largest number of values that differ between lanes and are
    /// still to be used.
    pub live_registers: u32,
    /// The same for values that all lanes share.
    pub live_scalars: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Accesses to private arrays at indices that are not constant after unrolling, of subgroups. Such arrays are in memory.
    pub dynamic_registers: f64,
}

impl Counts {
    /// Share of the lanes of issued multiply-adds that are not active: 0 where every lane works. Of all operations where there are no
    /// multiply-adds.
    pub fn idle(&self) -> f64 {
        let (lanes, subgroups) = match self.subgroups.multiply_adds {
            0.0 => (self.lanes.total(), self.subgroups.total()),
            of_subgroups => (self.lanes.multiply_adds, of_subgroups),
        };
        if subgroups > 0.0 { 1.0 - lanes / (subgroups * f64::from(self.subgroup)) } else { 0.0 }
    }

    /// Accesses to one kind of memory.
    pub fn accesses(&self, memory: Memory, stores: bool) -> Accesses {
        let mut all = Accesses::default();
        let sites = self.sites.iter().filter(|(site, _)| site.memory == memory && site.stores == stores);
        sites.for_each(|(_, accesses)| all.plus(accesses, 1.0));
        all
    }

    /// Accesses to one variable.
    pub fn variable(&self, variable: &str, stores: bool) -> Accesses {
        let mut all = Accesses::default();
        let sites = self.sites.iter().filter(|(site, _)| site.variable == variable && site.stores == stores);
        sites.for_each(|(_, accesses)| all.plus(accesses, 1.0));
        all
    }

    /// The work that the time depends on.
    pub fn work(&self) -> Work {
        let [loads, stores] = [false, true].map(|stores| {
            let mut all = self.accesses(Memory::Storage, stores);
            all.plus(&self.accesses(Memory::Texture, stores), 1.0);
            all
        });
        let mut workgroup = self.accesses(Memory::Workgroup, false);
        workgroup.plus(&self.accesses(Memory::Workgroup, true), 1.0);
        let footprints = self.footprints.values();
        Work {
            workgroups: self.workgroups,
            invocations: self.invocations.into(),
            subgroup: self.subgroup.into(),
            registers: self.live_registers.into(),
            workgroup_bytes: self.workgroup_bytes.into(),
            floats: self.subgroups.multiply_adds + self.subgroups.floats,
            integers: self.subgroups.integers,
            products: self.subgroups.products,
            divisions: self.subgroups.divisions,
            specials: self.subgroups.specials,
            scalars: self.scalars.total(),
            workgroup_requests: workgroup.requests,
            workgroup_cycles: workgroup.cycles,
            loads: loads.requests,
            load_sectors: loads.sectors,
            shared_loads: loads.uniform,
            shared_sectors: loads.uniform_sectors,
            stores: stores.requests,
            store_sectors: stores.sectors,
            fetched_sectors: footprints.clone().map(|footprint| footprint.loaded_sectors).sum(),
            memory_bytes: footprints.map(|footprint| self.bytes_used(footprint)).sum(),
            barriers: self.barriers,
            waits: self.waits,
        }
    }

    /// The predicted time on a device. The counts should be those for subgroups of `model.subgroup` lanes: with fewer lanes a subgroup, as
    /// many instructions do less.
    pub fn estimate(&self, model: &Model) -> Estimate {
        Estimate::new(&self.work(), model)
    }

    /// Bytes of a variable that are used, each counted once. Where only some workgroups were run, they are taken to share nothing, so that
    /// the bytes may be too many, up to those that are bound.
    fn bytes_used(&self, footprint: &Footprint) -> f64 {
        let all_counted = self.counted as f64 >= self.workgroups;
        let sectors = if all_counted { footprint.sectors } else { footprint.workgroup_sectors };
        (32.0 * sectors).min(footprint.bytes.max(32.0))
    }

    /// Adds the counts of a workgroup `times` times.
    pub(crate) fn plus(&mut self, other: &Counts, times: f64) {
        self.lanes.plus(&other.lanes.scaled(times));
        self.subgroups.plus(&other.subgroups.scaled(times));
        self.scalars.plus(&other.scalars.scaled(times));
        for (site, accesses) in &other.sites {
            self.sites.entry(site.clone()).or_default().plus(accesses, times);
        }
        self.barriers += other.barriers * times;
        self.waits += other.waits * times;
        self.iterations += other.iterations * times;
        self.most_iterations = self.most_iterations.max(other.most_iterations);
        self.dynamic_registers += other.dynamic_registers * times;
    }
}
