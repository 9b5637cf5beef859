//! Runs a workgroup: all lanes in lockstep, with a mask of the active ones.

use crate::access::Pattern;
use crate::arithmetic::{Code, Fma, evaluate, evaluate_lanes};
use crate::code::{Access, AtomicCode, Count, Node, Op, Register, Segment, Space, Val, input};
use crate::counts::{Accesses, Counts, Memory, Site};
use crate::faults::{Fault, FaultKind};
use crate::memory::{Buffer, Resource, Sectors, Texture, Touched, Touches};
use crate::program::Analysed;
use crate::repetition::{PERIOD, Repetition};
use std::collections::BTreeMap;

/// Most invocations of a workgroup.
pub(crate) const MOST_LANES: usize = 1024;

/// A set of lanes, 64 in each word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mask<const N: usize>([u64; N]);

impl<const N: usize> Mask<N> {
    const NONE: Self = Mask([0; N]);

    fn first(lanes: usize) -> Self {
        let mut mask = Mask::NONE;
        (0..lanes).for_each(|lane| mask.insert(lane));
        mask
    }

    fn insert(&mut self, lane: usize) {
        self.0[lane / 64] |= 1 << (lane % 64);
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    fn or(&self, other: &Self) -> Self {
        Mask(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    fn without(&self, other: &Self) -> Self {
        Mask(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    fn lanes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..).zip(&self.0).flat_map(|(index, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let lane = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    index * 64 + lane
                })
            })
        })
    }
}

/// A loop that repeats itself, while it runs.
struct Repeated<'p> {
    repetition: &'p Repetition,
    /// The progress after the first period.
    before: Option<Progress>,
    /// The counter in the iteration before.
    counter: u32,
}

/// What was done so far.
struct Progress {
    executions: Vec<[u64; 3]>,
    accesses: Vec<Accesses>,
    sectors: Vec<[u64; 2]>,
    numbers: [u64; 3],
    homes: Vec<Box<[u32]>>,
}

/// The active lanes for which a condition holds.
enum Holds<const N: usize> {
    /// All or none.
    Everywhere(bool),
    In(Mask<N>),
}

/// What a run does beside counting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) subgroup: u32,
    pub(crate) fma: Fma,
    /// Whether all values are computed, or only those that addresses and control flow depend on.
    pub(crate) values: bool,
    /// Whether races and reads of unwritten memory are looked for. Bounds and barriers are always checked.
    pub(crate) races: bool,
    /// Whether loops that repeat themselves are counted by periods.
    pub(crate) extrapolates: bool,
    pub(crate) most_iterations: u64,
}

/// Sectors of a variable that the running workgroup loads, and those that it touches.
#[derive(Debug, Default)]
struct WorkgroupSectors {
    loaded: Sectors,
    touched: Sectors,
}

impl WorkgroupSectors {
    fn insert(&mut self, sector: u64, stores: bool) {
        self.touched.insert(sector);
        if !stores {
            self.loaded.insert(sector);
        }
    }

    fn len(&self) -> [u64; 2] {
        [self.loaded.len(), self.touched.len()]
    }
}

/// A workgroup variable, or what is bound to another.
#[derive(Debug)]
enum Bound {
    Buffer { buffer: Buffer, touches: Touches, sectors: WorkgroupSectors, all_sectors: Sectors },
    Texture { texture: Texture, touches: Touches, sectors: WorkgroupSectors, all_sectors: Sectors },
    Workgroup { words: Vec<u32>, written: Vec<bool>, touched: Vec<Touched> },
}

/// Lanes that wait at the end of an enclosing construct.
#[derive(Debug, Clone, Copy)]
enum Waiting<const N: usize> {
    Loop { broke: Mask<N>, continued: Mask<N> },
    Scope { left: Mask<N> },
}

/// A site of the counts, and the pattern of its last access for each subgroup.
#[derive(Debug)]
struct SiteState {
    site: Site,
    accesses: Accesses,
    patterns: Vec<Pattern>,
}

/// A dispatch that is running.
pub(crate) struct Machine<'p, const N: usize> {
    analysed: &'p Analysed,
    mode: Mode,
    lanes: usize,
    everyone: Mask<N>,
    registers: Vec<Box<[u32]>>,
    bound: Vec<Bound>,
    /// Operands that are the same for all lanes, repeated.
    scratch: [Box<[u32]>; 3],
    waiting: Vec<Waiting<N>>,
    workgroups: [u32; 3],
    workgroup: [u32; 3],
    first_invocation: u64,
    /// Barriers passed by this workgroup: of workgroup memory, and of storage.
    epoch: u32,
    storage_epoch: u32,
    sites: Vec<SiteState>,
    /// The site of each operation, by segment.
    site_of: Vec<Vec<usize>>,
    /// Executions of each segment by this workgroup: lanes, subgroups, and times.
    executions: Vec<[u64; 3]>,
    barriers: u64,
    iterations: u64,
    most_iterations: u64,
    dynamic_registers: u64,
    pub(crate) faults: Vec<Fault>,
    found: BTreeMap<(u8, usize, u32), usize>,
    addresses: Vec<u32>,
}

impl<'p, const N: usize> Machine<'p, N> {
    /// A machine for a dispatch. `resources` has what is bound to each variable that is not in workgroup memory.
    pub(crate) fn new(
        analysed: &'p Analysed,
        mode: Mode,
        workgroups: [u32; 3],
        resources: Vec<Option<Resource>>,
    ) -> Self {
        let program = &analysed.program;
        let lanes = program.workgroup_size.iter().product::<u32>() as usize;
        let bound = program.variables.iter().zip(resources).map(|(variable, resource)| match resource {
            Some(Resource::Buffer(buffer)) => Bound::Buffer {
                buffer,
                touches: Touches::default(),
                sectors: WorkgroupSectors::default(),
                all_sectors: Sectors::default(),
            },
            Some(Resource::Texture(texture)) => Bound::Texture {
                texture,
                touches: Touches::default(),
                sectors: WorkgroupSectors::default(),
                all_sectors: Sectors::default(),
            },
            None => Bound::Workgroup {
                words: vec![0; variable.words as usize],
                written: vec![false; variable.words as usize],
                touched: vec![Touched::default(); variable.words as usize],
            },
        });
        let size = |register: usize| if analysed.varying[register] { lanes } else { 1 };
        let mut assigned = vec![false; program.registers as usize];
        assigned[..input::COUNT as usize].fill(true);
        crate::code::each_segment(&program.nodes, &mut |segment| {
            for op in &segment.ops {
                let (first, count) = match op {
                    Op::Move { home, .. } | Op::Copy { home, .. } => (*home, 1),
                    Op::Pick { homes, count, stride, .. } | Op::Put { homes, count, stride, .. } => {
                        (*homes, count * stride)
                    }
                    _ => (0, 0),
                };
                (first..first + count).for_each(|register| assigned[register as usize] = true);
                let (first, count) = op.results();
                (first..first + count).for_each(|register| assigned[register as usize] = true);
            }
        });
        let register = |i: usize| vec![0; if assigned[i] { size(i) } else { 0 }].into_boxed_slice();
        let (sites, site_of) = sites(analysed, lanes.div_ceil(mode.subgroup as usize));
        let mut machine = Machine {
            analysed,
            mode,
            lanes,
            everyone: Mask::first(lanes),
            registers: (0..program.registers as usize).map(register).collect(),
            bound: bound.collect(),
            scratch: std::array::from_fn(|_| vec![0; lanes].into()),
            waiting: Vec::new(),
            workgroups,
            workgroup: [0; 3],
            first_invocation: 0,
            epoch: 0,
            storage_epoch: 0,
            sites,
            site_of,
            executions: vec![[0; 3]; program.segments],
            barriers: 0,
            iterations: 0,
            most_iterations: 0,
            dynamic_registers: 0,
            faults: Vec::new(),
            found: BTreeMap::new(),
            addresses: Vec::new(),
        };
        machine.set_inputs();
        machine
    }

    /// Sets the built-in values that are the same in all workgroups.
    fn set_inputs(&mut self) {
        let [x, y, _] = self.analysed.program.workgroup_size;
        let subgroup = self.mode.subgroup;
        self.registers[input::SUBGROUP_SIZE as usize][0] = subgroup;
        self.registers[input::SUBGROUPS as usize][0] = (self.lanes as u32).div_ceil(subgroup);
        for i in 0..3 {
            self.registers[input::WORKGROUPS as usize + i][0] = self.workgroups[i];
        }
        for lane in 0..self.lanes {
            let index = lane as u32;
            let mut set = |register: Register, value| self.registers[register as usize][lane] = value;
            set(input::LOCAL_INDEX, index);
            set(input::LOCAL_ID, index % x);
            set(input::LOCAL_ID + 1, index / x % y);
            set(input::LOCAL_ID + 2, index / x / y);
            set(input::SUBGROUP_ID, index / subgroup);
            set(input::SUBGROUP_LANE, index % subgroup);
        }
    }

    /// Runs a workgroup, and returns what it did.
    pub(crate) fn run(&mut self, workgroup: [u32; 3]) -> Counts {
        self.workgroup = workgroup;
        let [x, y, z] = workgroup.map(u64::from);
        let [width, height, _] = self.workgroups.map(u64::from);
        self.first_invocation = ((z * height + y) * width + x) * self.lanes as u64;
        for (i, id) in (0..3).zip(workgroup) {
            self.registers[input::WORKGROUP_ID as usize + i][0] = id;
            let size = self.analysed.program.workgroup_size[i];
            let (local, global) = (input::LOCAL_ID as usize + i, input::GLOBAL_ID as usize + i);
            for lane in 0..self.lanes {
                self.registers[global][lane] = id.wrapping_mul(size).wrapping_add(self.registers[local][lane]);
            }
        }
        self.epoch = 1;
        self.storage_epoch = 1;
        for bound in &mut self.bound {
            if let Bound::Workgroup { words, written, touched } = bound {
                // An address computed from what was never written is as good as any.
                words.fill(0xffff_fff0);
                written.fill(false);
                touched.fill(Touched::default());
            }
        }
        self.executions.fill([0; 3]);
        self.sites.iter_mut().for_each(|site| site.accesses = Accesses::default());
        (self.barriers, self.iterations, self.most_iterations, self.dynamic_registers) = (0, 0, 0, 0);
        let analysed = self.analysed;
        self.waiting.clear();
        self.nodes(&analysed.program.nodes, self.everyone);
        self.counted()
    }

    /// The counts of the workgroup that was run last.
    fn counted(&mut self) -> Counts {
        let mut counts = Counts::default();
        for (cost, &[lanes, subgroups, times]) in self.analysed.costs.iter().zip(&self.executions) {
            if times > 0 {
                counts.lanes.add(cost.vector, lanes as f64);
                counts.subgroups.add(cost.vector, subgroups as f64);
                counts.scalars.add(cost.scalar, subgroups as f64);
                counts.waits += if cost.waits { subgroups as f64 } else { 0.0 };
                counts.iterations += f64::from(cost.iterations) * lanes as f64;
                self.most_iterations += u64::from(cost.iterations) * times;
            }
        }
        for state in &self.sites {
            counts.sites.entry(state.site.clone()).or_default().plus(&state.accesses, 1.0);
        }
        counts.barriers = self.barriers as f64;
        counts.iterations += self.iterations as f64;
        counts.most_iterations = self.most_iterations as f64;
        counts.dynamic_registers = self.dynamic_registers as f64;
        counts
    }

    /// Sectors that this workgroup loaded, and touched, of each variable. They are added to those of the dispatch.
    pub(crate) fn take_sectors(&mut self, each: &mut dyn FnMut(usize, [u64; 2])) {
        for (variable, bound) in self.bound.iter_mut().enumerate() {
            if let Bound::Buffer { sectors, all_sectors, .. } | Bound::Texture { sectors, all_sectors, .. } = bound {
                each(variable, sectors.len());
                all_sectors.drain(&mut sectors.touched);
                sectors.loaded = Sectors::default();
            }
        }
    }

    /// Bytes that are bound to a variable.
    pub(crate) fn bytes(&self, variable: usize) -> u64 {
        self.words(variable) * 4
    }

    /// Sectors that all workgroups touched of a variable.
    pub(crate) fn all_sectors(&self, variable: usize) -> u64 {
        match &self.bound[variable] {
            Bound::Buffer { all_sectors, .. } | Bound::Texture { all_sectors, .. } => all_sectors.len(),
            Bound::Workgroup { .. } => 0,
        }
    }

    /// What is bound after the run.
    pub(crate) fn into_resources(self) -> Vec<Option<Resource>> {
        let resource = |bound| match bound {
            Bound::Buffer { buffer, .. } => Some(Resource::Buffer(buffer)),
            Bound::Texture { texture, .. } => Some(Resource::Texture(texture)),
            Bound::Workgroup { .. } => None,
        };
        self.bound.into_iter().map(resource).collect()
    }

    fn subgroups(&self, mask: &Mask<N>) -> u32 {
        let size = self.mode.subgroup as usize;
        match size {
            64 => mask.0.iter().filter(|&&word| word != 0).count() as u32,
            size => {
                let ones = (1_u64 << size) - 1;
                let of_word = |&word: &u64| (0..64).step_by(size).filter(|shift| word >> shift & ones != 0).count();
                mask.0.iter().filter(|&&word| word != 0).map(|word| of_word(word) as u32).sum()
            }
        }
    }

    /// Runs nodes for the active lanes, and returns the lanes that reach their end.
    fn nodes(&mut self, nodes: &'p [Node], mut active: Mask<N>) -> Mask<N> {
        for node in nodes {
            if active.is_empty() {
                break;
            }
            active = self.node(node, active);
        }
        active
    }

    fn node(&mut self, node: &'p Node, active: Mask<N>) -> Mask<N> {
        match node {
            Node::Segment(segment) => {
                self.segment(segment, &active);
                active
            }
            Node::If { condition, accept, reject } => match self.condition(*condition, &active) {
                Holds::Everywhere(true) => self.nodes(accept, active),
                Holds::Everywhere(false) => self.nodes(reject, active),
                Holds::In(accepted) => {
                    let rejected = active.without(&accepted);
                    let accepted = self.nodes(accept, accepted);
                    let rejected = self.nodes(reject, rejected);
                    accepted.or(&rejected)
                }
            },
            Node::Loop { body, continuing, break_if, line, id } => {
                self.repeat(*id, body, continuing, *break_if, *line, active)
            }
            Node::Scope(nodes) => {
                self.waiting.push(Waiting::Scope { left: Mask::NONE });
                let active = self.nodes(nodes, active);
                match self.waiting.pop() {
                    Some(Waiting::Scope { left }) => active.or(&left),
                    _ => active,
                }
            }
            Node::Break | Node::Continue => {
                let of_loop = self.waiting.iter_mut().rev().find_map(|waiting| match waiting {
                    Waiting::Loop { broke, continued } => Some((broke, continued)),
                    Waiting::Scope { .. } => None,
                });
                if let Some((broke, continued)) = of_loop {
                    let lanes = if matches!(node, Node::Break) { broke } else { continued };
                    *lanes = lanes.or(&active);
                }
                Mask::NONE
            }
            Node::Leave(levels) => {
                let scopes = self.waiting.iter_mut().rev().filter_map(|waiting| match waiting {
                    Waiting::Scope { left } => Some(left),
                    Waiting::Loop { .. } => None,
                });
                if let Some(left) = scopes.into_iter().nth(levels - 1) {
                    *left = left.or(&active);
                }
                Mask::NONE
            }
            Node::Return => Mask::NONE,
            Node::Barrier { storage, workgroup, line } => {
                self.barriers += 1;
                if active != self.everyone {
                    let (reached, expected) = (active.count(), self.lanes as u32);
                    let lane = active.lanes().next().unwrap_or(0);
                    self.fault(FaultKind::NonUniformBarrier { reached, expected }, None, false, *line, lane);
                }
                self.epoch += u32::from(*workgroup);
                self.storage_epoch += u32::from(*storage);
                active
            }
        }
    }

    /// The lanes for which a condition holds.
    fn condition(&self, val: Val, active: &Mask<N>) -> Holds<N> {
        match val {
            Val::Const(value) => Holds::Everywhere(value != 0),
            Val::Reg(register) if !self.analysed.varying[register as usize] => {
                Holds::Everywhere(self.registers[register as usize][0] != 0)
            }
            Val::Reg(register) => {
                let mut mask = Mask::NONE;
                for (index, lanes) in self.registers[register as usize].chunks(64).enumerate() {
                    let bits = lanes.iter().rev().fold(0, |bits, &lane| bits << 1 | u64::from(lane != 0));
                    mask.0[index] = bits & active.0[index];
                }
                Holds::In(mask)
            }
        }
    }

    fn repeat(
        &mut self,
        id: usize,
        body: &'p [Node],
        continuing: &'p [Node],
        break_if: Option<Val>,
        line: u32,
        mut active: Mask<N>,
    ) -> Mask<N> {
        let mut done = Mask::NONE;
        let mut count = 0;
        let mut repeated = self.repetition(id);
        while !active.is_empty() {
            if let Some(state) = &mut repeated {
                self.skip(state, count);
            }
            self.waiting.push(Waiting::Loop { broke: Mask::NONE, continued: Mask::NONE });
            active = self.nodes(body, active);
            if let Some(Waiting::Loop { continued, .. }) = self.waiting.last() {
                active = active.or(continued);
            }
            active = self.nodes(continuing, active);
            if let Some(Waiting::Loop { broke, .. }) = self.waiting.pop() {
                done = done.or(&broke);
            }
            // The last visit of a `for` loop only finds that its condition is false.
            count += 1;
            self.iterations += u64::from(active.count());
            self.most_iterations += u64::from(!active.is_empty());
            if count > self.mode.most_iterations && !active.is_empty() {
                let limit = self.mode.most_iterations;
                let lane = active.lanes().next().unwrap_or(0);
                self.fault(FaultKind::EndlessLoop { limit }, None, false, line, lane);
                break;
            }
            if let Some(val) = break_if
                && !active.is_empty()
            {
                let leaves = match self.condition(val, &active) {
                    Holds::Everywhere(true) => active,
                    Holds::Everywhere(false) => Mask::NONE,
                    Holds::In(lanes) => lanes,
                };
                done = done.or(&leaves);
                active = active.without(&leaves);
            }
        }
        done
    }

    /// The state of a loop whose counts are multiplied.
    fn repetition(&self, id: usize) -> Option<Repeated<'p>> {
        let counts_only = !self.mode.values && !self.mode.races && self.mode.extrapolates;
        let analysed = self.analysed;
        let repetition = analysed.repetitions[id].as_ref().filter(|_| counts_only)?;
        Some(Repeated { repetition, before: None, counter: 0 })
    }

    /// Before an iteration: counts whole periods of iterations without running them, once two periods have been run.
    fn skip(&mut self, state: &mut Repeated<'p>, iteration: u64) {
        let period = u64::from(PERIOD);
        let counter = self.registers[state.repetition.counter as usize][0];
        if iteration == period {
            state.before = Some(self.progress(state.repetition));
        }
        if iteration == 2 * period
            && let Some(before) = state.before.take()
        {
            // The counter was last computed in the iteration before this one.
            let advance = counter.wrapping_sub(state.counter);
            let remaining = self.remaining(state.repetition, counter, advance);
            let periods = remaining / period;
            // For few periods the sectors that are found again would weigh too much.
            if periods >= 4 {
                self.multiply(&before, state.repetition, periods);
            }
        }
        state.counter = counter;
    }

    /// Iterations that a loop still makes.
    fn remaining(&self, repetition: &Repetition, counter: u32, advance: u32) -> u64 {
        let number = |bits: u32| if repetition.signed { i64::from(bits as i32) } else { i64::from(bits) };
        let (advance, end) = (i64::from(advance as i32), number(self.one(repetition.end)));
        let next = number(counter) + advance;
        let end = if repetition.inclusive { end + 1 } else { end };
        // Numbers that wrap are left to the run.
        let largest = if repetition.signed { i64::from(i32::MAX) } else { i64::from(u32::MAX) };
        if advance <= 0 || end > largest - advance || next >= end {
            return 0;
        }
        ((end - next) as u64).div_ceil(advance as u64)
    }

    fn progress(&self, repetition: &Repetition) -> Progress {
        let sectors = |bound: &Bound| match bound {
            Bound::Buffer { sectors, .. } | Bound::Texture { sectors, .. } => sectors.len(),
            Bound::Workgroup { .. } => [0; 2],
        };
        Progress {
            executions: self.executions.clone(),
            accesses: self.sites.iter().map(|site| site.accesses).collect(),
            sectors: self.bound.iter().map(sectors).collect(),
            numbers: [self.barriers, self.iterations, self.most_iterations],
            homes: repetition.homes.iter().map(|&home| self.registers[home as usize].clone()).collect(),
        }
    }

    /// Adds what was done since `before` so many times.
    fn multiply(&mut self, before: &Progress, repetition: &Repetition, times: u64) {
        for (now, before) in self.executions.iter_mut().zip(&before.executions) {
            for (now, before) in now.iter_mut().zip(before) {
                *now += (*now - before) * times;
            }
        }
        for (site, before) in self.sites.iter_mut().zip(&before.accesses) {
            let now = site.accesses;
            site.accesses.plus(&now, times as f64);
            site.accesses.plus(before, -(times as f64));
        }
        for (bound, before) in self.bound.iter_mut().zip(&before.sectors) {
            if let Bound::Buffer { sectors, .. } | Bound::Texture { sectors, .. } = bound {
                let [loaded, touched] = sectors.len();
                sectors.loaded.add((loaded - before[0]) * times);
                sectors.touched.add((touched - before[1]) * times);
            }
        }
        let [barriers, iterations, most_iterations] = before.numbers;
        self.barriers += (self.barriers - barriers) * times;
        self.iterations += (self.iterations - iterations) * times;
        self.most_iterations += (self.most_iterations - most_iterations) * times;
        for (&home, before) in repetition.homes.iter().zip(&before.homes) {
            for (now, before) in self.registers[home as usize].iter_mut().zip(before) {
                *now = now.wrapping_add(now.wrapping_sub(*before).wrapping_mul(times as u32));
            }
        }
    }

    fn segment(&mut self, segment: &'p Segment, active: &Mask<N>) {
        let subgroups = self.subgroups(active);
        let executions = &mut self.executions[segment.id];
        executions[0] += u64::from(active.count());
        executions[1] += u64::from(subgroups);
        executions[2] += 1;
        if self.mode.values {
            for (index, op) in segment.ops.iter().enumerate() {
                self.op(op, self.site_of[segment.id][index], active, subgroups);
            }
        } else {
            let analysed = self.analysed;
            for &index in &analysed.index_ops[segment.id] {
                let site = self.site_of[segment.id][index as usize];
                self.op(&segment.ops[index as usize], site, active, subgroups);
            }
        }
    }

    /// The value of an operand that is the same for all lanes.
    fn one(&self, val: Val) -> u32 {
        match val {
            Val::Const(value) => value,
            Val::Reg(register) => self.registers[register as usize][0],
        }
    }

    fn lane(&self, val: Val, lane: usize) -> u32 {
        match val {
            Val::Const(value) => value,
            Val::Reg(register) if self.analysed.varying[register as usize] => self.registers[register as usize][lane],
            Val::Reg(register) => self.registers[register as usize][0],
        }
    }

    fn is_varying(&self, val: Val) -> bool {
        matches!(val, Val::Reg(register) if self.analysed.varying[register as usize])
    }

    fn op(&mut self, op: &'p Op, site: usize, active: &Mask<N>, subgroups: u32) {
        match op {
            Op::Compute { code, to, from } => self.compute(*code, *to, from),
            Op::Copy { to, home } => {
                let mut out = std::mem::take(&mut self.registers[*to as usize]);
                out.copy_from_slice(&self.registers[*home as usize]);
                self.registers[*to as usize] = out;
            }
            Op::Move { home, from } => self.write(*home, *from, active),
            Op::Length { to, variable, first, stride } => {
                let count = self.elements(*variable, Count::Runtime { first: *first }, *stride);
                self.registers[*to as usize].fill(u32::try_from(count).unwrap_or(u32::MAX));
            }
            Op::Check { variable, index, count, stride, stores, line } => {
                let count = self.elements(variable.unwrap_or(usize::MAX), *count, *stride);
                for lane in active.lanes() {
                    let index = self.lane(*index, lane);
                    if u64::from(index) >= count {
                        self.fault(FaultKind::OutOfBounds { index, count }, *variable, *stores, *line, lane);
                    }
                }
            }
            Op::Load { access, to } => self.load(access, *to, site, active, subgroups),
            Op::Store { access, from } => self.store(access, from, site, active),
            Op::Atomic { access, code, value, to } => self.atomic(access, *code, *value, *to, site, active),
            Op::Pick { to, homes, count, stride, offset, index, line } => {
                self.dynamic_registers += u64::from(subgroups);
                let varying = self.analysed.varying[*to as usize];
                let mut out = std::mem::take(&mut self.registers[*to as usize]);
                for lane in active.lanes() {
                    let index = self.lane(*index, lane);
                    if let Some(home) = self.home(*homes, *count, *stride, *offset, index, *line, lane, false) {
                        out[if varying { lane } else { 0 }] = self.lane(Val::Reg(home), lane);
                    }
                }
                self.registers[*to as usize] = out;
            }
            Op::Put { homes, count, stride, offset, index, from, line } => {
                self.dynamic_registers += u64::from(subgroups);
                for lane in active.lanes() {
                    let (index, value) = (self.lane(*index, lane), self.lane(*from, lane));
                    if let Some(home) = self.home(*homes, *count, *stride, *offset, index, *line, lane, true) {
                        let varying = self.analysed.varying[home as usize];
                        self.registers[home as usize][if varying { lane } else { 0 }] = value;
                    }
                }
            }
            Op::TexelLoad { variable, at, to, line } => self.texel_load(*variable, at, *to, *line, site, active),
            Op::TexelStore { variable, at, from, line } => self.texel_store(*variable, at, from, *line, site, active),
        }
    }

    /// The home of an element of a private array.
    #[expect(clippy::too_many_arguments, reason = "the parts of an operation")]
    fn home(
        &mut self,
        homes: Register,
        count: u32,
        stride: u32,
        offset: u32,
        index: u32,
        line: u32,
        lane: usize,
        stores: bool,
    ) -> Option<Register> {
        if index >= count {
            let count = count.into();
            self.fault(FaultKind::OutOfBounds { index, count }, None, stores, line, lane);
            return None;
        }
        Some(homes + index * stride + offset)
    }

    fn compute(&mut self, code: Code, to: Register, from: &[Val; 3]) {
        if !self.analysed.varying[to as usize] {
            let operands = from.map(|val| self.one(val));
            self.registers[to as usize][0] = evaluate(code, self.mode.fma, operands);
            return;
        }
        let mut out = std::mem::take(&mut self.registers[to as usize]);
        let mut scratch = std::mem::take(&mut self.scratch);
        for (scratch, &val) in scratch.iter_mut().zip(&from[..code.operands()]) {
            if !self.is_varying(val) {
                scratch.fill(self.one(val));
            }
        }
        let operand = |i: usize| match from[i] {
            Val::Reg(register) if self.analysed.varying[register as usize] => &*self.registers[register as usize],
            _ => &*scratch[i],
        };
        evaluate_lanes(code, self.mode.fma, [operand(0), operand(1), operand(2)], &mut out);
        self.scratch = scratch;
        self.registers[to as usize] = out;
    }

    /// Writes a register in the active lanes.
    fn write(&mut self, to: Register, from: Val, active: &Mask<N>) {
        if !self.analysed.varying[to as usize] {
            self.registers[to as usize][0] = self.one(from);
            return;
        }
        let mut out = std::mem::take(&mut self.registers[to as usize]);
        match from {
            Val::Reg(register) if self.analysed.varying[register as usize] => {
                let from = &self.registers[register as usize];
                if *active == self.everyone {
                    out.copy_from_slice(from);
                } else {
                    active.lanes().for_each(|lane| out[lane] = from[lane]);
                }
            }
            val => {
                let value = self.one(val);
                active.lanes().for_each(|lane| out[lane] = value);
            }
        }
        self.registers[to as usize] = out;
    }

    /// Words of a variable.
    fn words(&self, variable: usize) -> u64 {
        match &self.bound[variable] {
            Bound::Buffer { buffer, .. } => buffer.len(),
            Bound::Texture { texture, .. } => u64::from(texture.width) * u64::from(texture.height) * 4,
            Bound::Workgroup { words, .. } => words.len() as u64,
        }
    }

    /// Elements that an index may select from.
    fn elements(&self, variable: usize, count: Count, stride: u32) -> u64 {
        match count {
            Count::Fixed(count) => count.into(),
            Count::Runtime { first } => self.words(variable).saturating_sub(first.into()) / u64::from(stride.max(1)),
            Count::Checked => self.words(variable),
        }
    }

    /// The word addresses of an access, one for each active lane that is in bounds. The others are faults. Returns the lanes.
    fn addresses(&mut self, access: &Access, active: &Mask<N>, stores: bool) -> Mask<N> {
        let count = self.elements(access.variable, access.count, access.stride);
        let words = self.words(access.variable);
        let mut addresses = std::mem::take(&mut self.addresses);
        addresses.clear();
        let mut inside = *active;
        if *active == self.everyone
            && let Val::Reg(register) = access.index
            && self.analysed.varying[register as usize]
        {
            let indices = &self.registers[register as usize];
            let largest = indices.iter().fold(0, |largest, index| index.wrapping_add(access.add).max(largest));
            let last = u64::from(largest) * u64::from(access.stride) + u64::from(access.offset);
            if u64::from(largest) < count && last + u64::from(access.words) <= words {
                let address = |index: &u32| index.wrapping_add(access.add) * access.stride + access.offset;
                addresses.extend(indices.iter().map(address));
                self.addresses = addresses;
                return inside;
            }
        }
        for lane in active.lanes() {
            let index = self.lane(access.index, lane).wrapping_add(access.add);
            let address = u64::from(index) * u64::from(access.stride) + u64::from(access.offset);
            if u64::from(index) >= count || address + u64::from(access.words) > words {
                if access.count != Count::Checked {
                    let kind = FaultKind::OutOfBounds { index, count };
                    self.fault(kind, Some(access.variable), stores, access.line, lane);
                }
                inside.0[lane / 64] &= !(1 << (lane % 64));
            } else {
                addresses.push(address as u32);
            }
        }
        self.addresses = addresses;
        inside
    }

    /// Counts an access of the lanes, whose word addresses are `self.addresses`.
    fn count_access(&mut self, variable: usize, words: u32, site: usize, lanes: &Mask<N>) {
        let size = self.mode.subgroup as usize;
        let state = &mut self.sites[site];
        let workgroup_memory = state.site.memory == Memory::Workgroup;
        let mut rest = &self.addresses[..];
        for subgroup in 0..self.lanes.div_ceil(size) {
            let first = subgroup * size;
            let bits = if size == 64 { u64::MAX } else { (1 << size) - 1 };
            let here = (lanes.0[first / 64] >> (first % 64) & bits).count_ones() as usize;
            if here == 0 {
                continue;
            }
            let (addresses, others) = rest.split_at(here);
            rest = others;
            let accesses = &mut state.accesses;
            accesses.requests += 1.0;
            accesses.bytes += f64::from(4 * words) * here as f64;
            let uniform = addresses.iter().all(|&address| address == addresses[0]);
            accesses.uniform += f64::from(u8::from(uniform));
            if workgroup_memory {
                let cycles = state.patterns[subgroup].cycles(addresses, words);
                accesses.cycles += f64::from(cycles.cycles);
                accesses.ideal_cycles += f64::from(cycles.ideal);
                continue;
            }
            let moved = state.patterns[subgroup].moved(addresses, words);
            accesses.sectors += f64::from(moved.sectors);
            accesses.uniform_sectors += if uniform { f64::from(moved.sectors) } else { 0.0 };
            accesses.lines += f64::from(moved.lines);
            if let Bound::Buffer { sectors, .. } | Bound::Texture { sectors, .. } = &mut self.bound[variable] {
                let mut last = u64::MAX;
                for &address in addresses {
                    for sector in u64::from(address / 8)..=u64::from((address + words - 1) / 8) {
                        if sector != last {
                            sectors.insert(sector, state.site.stores);
                            last = sector;
                        }
                    }
                }
            }
        }
    }

    /// Whether the contents of a variable have to be right.
    fn keeps_values(&self, variable: usize) -> bool {
        self.mode.values || self.analysed.contents_needed[variable]
    }

    fn load(&mut self, access: &'p Access, to: Register, site: usize, active: &Mask<N>, subgroups: u32) {
        if !self.is_varying(access.index) {
            self.load_uniform(access, to, site, active, subgroups);
            return;
        }
        let inside = self.addresses(access, active, false);
        self.count_access(access.variable, access.words, site, &inside);
        if self.mode.races {
            for (lane, i) in inside.lanes().zip(0..) {
                let address = u64::from(self.addresses[i]);
                (0..access.words).for_each(|word| self.touch(access, address + u64::from(word), lane, true, false));
            }
        }
        if !(self.mode.values || (0..access.words).any(|i| self.analysed.needed[(to + i) as usize])) {
            return;
        }
        for word in 0..access.words {
            let register = (to + word) as usize;
            let mut out = std::mem::take(&mut self.registers[register]);
            match &self.bound[access.variable] {
                Bound::Buffer { buffer, .. } => {
                    for (lane, &address) in inside.lanes().zip(&self.addresses) {
                        out[lane] = buffer.word(u64::from(address + word));
                    }
                }
                Bound::Workgroup { words, .. } => {
                    for (lane, &address) in inside.lanes().zip(&self.addresses) {
                        out[lane] = words[(address + word) as usize];
                    }
                }
                Bound::Texture { .. } => {}
            }
            self.registers[register] = out;
        }
    }

    /// A load at one address.
    fn load_uniform(&mut self, access: &'p Access, to: Register, site: usize, active: &Mask<N>, subgroups: u32) {
        let count = self.elements(access.variable, access.count, access.stride);
        let index = self.one(access.index).wrapping_add(access.add);
        let address = u64::from(index) * u64::from(access.stride) + u64::from(access.offset);
        if u64::from(index) >= count || address + u64::from(access.words) > self.words(access.variable) {
            if access.count != Count::Checked {
                for lane in active.lanes() {
                    let kind = FaultKind::OutOfBounds { index, count };
                    self.fault(kind, Some(access.variable), false, access.line, lane);
                }
            }
            return;
        }
        let end = address + u64::from(access.words) - 1;
        let state = &mut self.sites[site];
        let requests = f64::from(subgroups);
        state.accesses.requests += requests;
        state.accesses.uniform += requests;
        state.accesses.bytes += f64::from(4 * access.words) * f64::from(active.count());
        if state.site.memory == Memory::Workgroup {
            state.accesses.cycles += requests;
            state.accesses.ideal_cycles += requests;
        } else {
            let sectors = requests * (end / 8 - address / 8 + 1) as f64;
            state.accesses.sectors += sectors;
            state.accesses.uniform_sectors += sectors;
            state.accesses.lines += requests * (end / 32 - address / 32 + 1) as f64;
            if let Bound::Buffer { sectors, .. } = &mut self.bound[access.variable] {
                (address / 8..=end / 8).for_each(|sector| sectors.insert(sector, false));
            }
        }
        if self.mode.races {
            for lane in active.lanes() {
                (address..=end).for_each(|address| self.touch(access, address, lane, true, false));
            }
        }
        for word in 0..access.words {
            let register = (to + word) as usize;
            if self.mode.values || self.analysed.needed[register] {
                let address = address + u64::from(word);
                let value = match &self.bound[access.variable] {
                    Bound::Buffer { buffer, .. } => buffer.word(address),
                    Bound::Workgroup { words, .. } => words[address as usize],
                    Bound::Texture { .. } => 0,
                };
                self.registers[register].fill(value);
            }
        }
    }

    fn store(&mut self, access: &'p Access, from: &[Val; 4], site: usize, active: &Mask<N>) {
        let inside = self.addresses(access, active, true);
        self.count_access(access.variable, access.words, site, &inside);
        let keeps = self.keeps_values(access.variable);
        for (lane, i) in inside.lanes().zip(0..) {
            let address = u64::from(self.addresses[i]);
            for word in 0..access.words {
                let at = address + u64::from(word);
                if self.mode.races {
                    self.touch(access, at, lane, false, true);
                }
                if keeps {
                    let value = self.lane(from[word as usize], lane);
                    self.set_word(access.variable, at, value);
                }
            }
        }
    }

    fn set_word(&mut self, variable: usize, at: u64, value: u32) {
        match &mut self.bound[variable] {
            Bound::Buffer { buffer, .. } => buffer.set(at, value),
            Bound::Workgroup { words, .. } => words[at as usize] = value,
            Bound::Texture { texture, .. } => texture.texels.set(at, value),
        }
    }

    fn atomic(
        &mut self,
        access: &'p Access,
        code: AtomicCode,
        value: Val,
        to: Option<Register>,
        site: usize,
        active: &Mask<N>,
    ) {
        let inside = self.addresses(access, active, true);
        self.count_access(access.variable, 1, site, &inside);
        let keeps = self.keeps_values(access.variable);
        for (lane, i) in inside.lanes().zip(0..) {
            let address = u64::from(self.addresses[i]);
            if self.mode.races {
                // An exchange whose result is not used only writes.
                let reads = to.is_some() || code != AtomicCode::Exchange;
                self.touch(access, address, lane, reads, true);
            }
            let before = match &self.bound[access.variable] {
                Bound::Buffer { buffer, .. } => buffer.word(address),
                Bound::Workgroup { words, .. } => words[address as usize],
                Bound::Texture { .. } => 0,
            };
            let value = self.lane(value, lane);
            let after = match code {
                AtomicCode::Exchange => value,
                AtomicCode::Compute(code) => evaluate(code, self.mode.fma, [before, value, 0]),
            };
            if keeps {
                self.set_word(access.variable, address, after);
            }
            if let Some(to) = to {
                self.registers[to as usize][lane] = before;
            }
        }
    }

    /// Records who touches a word, and finds races and reads of what was never written.
    fn touch(&mut self, access: &Access, address: u64, lane: usize, reads: bool, stores: bool) {
        let invocation = self.first_invocation + lane as u64 + 1;
        let first = self.first_invocation;
        let lanes = self.lanes as u64;
        let (epoch, storage_epoch) = (self.epoch, self.storage_epoch);
        let storage = !matches!(self.bound[access.variable], Bound::Workgroup { .. });
        let touched = match &mut self.bound[access.variable] {
            Bound::Workgroup { written, touched, .. } => {
                let there = &mut written[address as usize];
                let missing = reads && !*there;
                *there |= stores;
                if missing {
                    let kind = FaultKind::Uninitialised { word: address };
                    self.fault(kind, Some(access.variable), false, access.line, lane);
                    return;
                }
                &mut touched[address as usize]
            }
            Bound::Buffer { touches, .. } | Bound::Texture { touches, .. } => {
                // Nobody writes it.
                if !self.analysed.stored[access.variable] {
                    return;
                }
                touches.word(address)
            }
        };
        // WGSL has only atomic accesses to what is atomic.
        if access.atomic {
            return;
        }
        // Accesses of one workgroup are ordered by its barriers, those of several by nothing.
        let now = if storage { storage_epoch } else { epoch };
        let of_this = |who: u64| who > first && who <= first + lanes;
        if touched.readers[0] != 0 && !of_this(touched.readers[0]) {
            touched.earlier_reader = touched.readers[0];
            touched.readers = [0; 2];
        }
        let ordered = |who: u64, when: u32| of_this(who) && when != now;
        let mut other = None;
        let writer = touched.writer;
        if writer != 0 && writer != invocation && !ordered(writer, touched.write_epoch) {
            other = Some(writer);
        } else if stores {
            let [a, b] = if touched.read_epoch == now { touched.readers } else { [0; 2] };
            other = [touched.earlier_reader, a, b].into_iter().find(|&reader| reader != 0 && reader != invocation);
        }
        if stores {
            touched.writer = invocation;
            touched.write_epoch = now;
        } else if touched.readers[0] == 0 || touched.read_epoch != now {
            touched.readers = [invocation, 0];
            touched.read_epoch = now;
        } else if touched.readers[0] != invocation && touched.readers[1] == 0 {
            touched.readers[1] = invocation;
        }
        if let Some(other) = other {
            let kind = match storage {
                true => FaultKind::StorageRace { word: address, other: other - 1 },
                false => FaultKind::WorkgroupRace { word: address, other: other - 1 - first },
            };
            self.fault(kind, Some(access.variable), stores, access.line, lane);
        }
    }

    /// The word addresses of texels; lanes out of bounds are faults.
    fn texel_addresses(
        &mut self,
        variable: usize,
        at: &[Val; 2],
        line: u32,
        active: &Mask<N>,
        stores: bool,
    ) -> Mask<N> {
        let Bound::Texture { texture, .. } = &self.bound[variable] else { return Mask::NONE };
        let (width, height) = (texture.width, texture.height);
        let mut addresses = std::mem::take(&mut self.addresses);
        addresses.clear();
        let mut inside = *active;
        for lane in active.lanes() {
            let [x, y] = at.map(|val| self.lane(val, lane));
            let outside = if x >= width { Some((x, width)) } else { (y >= height).then_some((y, height)) };
            if let Some((index, count)) = outside {
                let count = count.into();
                self.fault(FaultKind::OutOfBounds { index, count }, Some(variable), stores, line, lane);
                inside.0[lane / 64] &= !(1 << (lane % 64));
            } else {
                addresses.push((y * width + x) * 4);
            }
        }
        self.addresses = addresses;
        inside
    }

    fn texel_load(&mut self, variable: usize, at: &[Val; 2], to: Register, line: u32, site: usize, active: &Mask<N>) {
        let inside = self.texel_addresses(variable, at, line, active, false);
        self.count_access(variable, 4, site, &inside);
        let access = texel_access(variable, line);
        for (lane, i) in inside.lanes().zip(0..) {
            let address = u64::from(self.addresses[i]);
            if self.mode.races {
                self.touch(&access, address, lane, true, false);
            }
            for word in 0..4_u32 {
                let register = (to + word) as usize;
                if (self.mode.values || self.analysed.needed[register])
                    && let Bound::Texture { texture, .. } = &self.bound[variable]
                {
                    let varying = self.analysed.varying[register];
                    self.registers[register][if varying { lane } else { 0 }] =
                        texture.texels.word(address + u64::from(word));
                }
            }
        }
    }

    fn texel_store(
        &mut self,
        variable: usize,
        at: &[Val; 2],
        from: &[Val; 4],
        line: u32,
        site: usize,
        active: &Mask<N>,
    ) {
        let inside = self.texel_addresses(variable, at, line, active, true);
        self.count_access(variable, 4, site, &inside);
        let access = texel_access(variable, line);
        for (lane, i) in inside.lanes().zip(0..) {
            let address = u64::from(self.addresses[i]);
            if self.mode.races {
                self.touch(&access, address, lane, false, true);
            }
            if self.keeps_values(variable) {
                for (word, &val) in (0..).zip(from) {
                    let value = self.lane(val, lane);
                    self.set_word(variable, address + word, value);
                }
            }
        }
    }

    fn fault(&mut self, kind: FaultKind, variable: Option<usize>, stores: bool, line: u32, lane: usize) {
        let number = match kind {
            FaultKind::OutOfBounds { .. } => 0,
            FaultKind::Uninitialised { .. } => 1,
            FaultKind::WorkgroupRace { .. } => 2,
            FaultKind::StorageRace { .. } => 3,
            FaultKind::NonUniformBarrier { .. } => 4,
            FaultKind::EndlessLoop { .. } => 5,
        };
        let key = (number, variable.map_or(usize::MAX, |v| v * 2 + usize::from(stores)), line);
        if let Some(&known) = self.found.get(&key) {
            self.faults[known].times += 1;
            return;
        }
        self.found.insert(key, self.faults.len());
        let program = &self.analysed.program;
        let statement = program.text.lines().nth((line as usize).wrapping_sub(1)).unwrap_or_default().to_owned();
        self.faults.push(Fault {
            kind,
            variable: variable.map(|variable| program.variables[variable].name.clone()).unwrap_or_default(),
            stores,
            line,
            statement,
            workgroup: self.workgroup,
            lane: lane as u32,
            times: 1,
        });
    }
}

fn texel_access(variable: usize, line: u32) -> Access {
    Access {
        variable,
        index: Val::Const(0),
        add: 0,
        stride: 0,
        count: Count::Fixed(1),
        offset: 0,
        words: 4,
        atomic: false,
        line,
    }
}

/// The sites of a program, and the site of each operation.
fn sites(analysed: &Analysed, subgroups: usize) -> (Vec<SiteState>, Vec<Vec<usize>>) {
    let program = &analysed.program;
    let mut states: Vec<SiteState> = Vec::new();
    let mut site_of = vec![Vec::new(); program.segments];
    crate::code::each_segment(&program.nodes, &mut |segment| {
        for op in &segment.ops {
            let place = match op {
                Op::Load { access, .. } => Some((access.variable, access.line, false)),
                Op::Store { access, .. } | Op::Atomic { access, .. } => Some((access.variable, access.line, true)),
                Op::TexelLoad { variable, line, .. } => Some((*variable, *line, false)),
                Op::TexelStore { variable, line, .. } => Some((*variable, *line, true)),
                _ => None,
            };
            let index = place.map_or(usize::MAX, |(variable, line, stores)| {
                let variable = &program.variables[variable];
                let memory = match variable.space {
                    Space::Uniform => Memory::Uniform,
                    Space::Storage { .. } => Memory::Storage,
                    Space::Workgroup => Memory::Workgroup,
                    Space::Texture { .. } => Memory::Texture,
                };
                states.push(SiteState {
                    site: Site { memory, variable: variable.name.clone(), stores, line },
                    accesses: Accesses::default(),
                    patterns: vec![Pattern::default(); subgroups],
                });
                states.len() - 1
            });
            site_of[segment.id].push(index);
        }
    });
    (states, site_of)
}

#[cfg(test)]
mod tests {
    use crate::{Buffer, Dispatch, Fault, FaultKind, Report, Shader};

    fn faults(workgroups: u32, body: &str) -> Vec<Fault> {
        let text = format!(
            "@group(0) @binding(0) var<storage, read_write> x: array<f32, 4>;
             @group(0) @binding(1) var<storage, read_write> y: array<f32>;
             var<workgroup> rows: array<array<f32, 8>, 4>;
             @compute @workgroup_size(32)
             fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {{
                 {body}
             }}"
        );
        let shader = Shader::new(&text).unwrap();
        let run = Dispatch::new(&shader, [workgroups, 1, 1]).bind("x", Buffer::floats(&[0.0; 4]));
        let Report { faults, .. } = run.bind("y", Buffer::floats(&[0.0; 64])).run().unwrap();
        faults
    }

    /// A race names the other invocation, also if the storing one read the word last.
    #[test]
    fn a_race_names_another_invocation() {
        let faults = faults(1, "if (lane < 2u) { y[lane] = x[0]; } if (lane == 1u) { x[0] = 1.0; }");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].kind, faults[0].lane), (FaultKind::StorageRace { word: 0, other: 0 }, 1));
    }

    /// A barrier orders the accesses of a workgroup, not those of the workgroups before it.
    #[test]
    fn a_barrier_does_not_order_other_workgroups() {
        let body = "y[workgroup.x * 32u + lane] = x[0]; storageBarrier(); if (lane == 5u) { y[0] += x[0]; }
            storageBarrier(); if (workgroup.x == 1u && lane == 5u) { x[0] = 1.0; }";
        let faults = faults(2, body);
        let of_x: Vec<&Fault> = faults.iter().filter(|fault| fault.variable == "x").collect();
        assert_eq!(of_x.len(), 1, "{faults:?}");
        assert!(of_x[0].stores);
        assert!(matches!(of_x[0].kind, FaultKind::StorageRace { word: 0, other: 0..32 }), "{of_x:?}");
        let alone = "y[lane] = x[0]; storageBarrier(); if (lane == 5u) { x[0] = 1.0; }";
        assert_eq!(self::faults(1, alone), []);
    }

    /// The inner index of a nested array is checked by itself: past the end of a row is not in the next row.
    #[test]
    fn an_inner_index_out_of_bounds_says_whether_it_stores() {
        let faults = faults(1, "rows[lane / 8u][lane % 8u + 1u] = 1.0;\n y[lane] = rows[lane / 8u][lane % 8u + 1u];");
        let kinds: Vec<(FaultKind, bool)> = faults.iter().map(|fault| (fault.kind, fault.stores)).collect();
        let past = FaultKind::OutOfBounds { index: 8, count: 8 };
        assert!(kinds.contains(&(past, true)) && kinds.contains(&(past, false)), "{faults:?}");
    }
}
