//! Dispatches of a shader.

use crate::arithmetic::Fma;
use crate::code::Space;
use crate::counts::{Counts, Footprint};
use crate::error::{Error, Result};
use crate::faults::Fault;
use crate::memory::{Buffer, Resource, Texture};
use crate::run::{MOST_LANES, Machine, Mode};
use crate::shader::Shader;
use std::collections::BTreeMap;

/// The workgroups of a dispatch that are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Workgroups {
    /// All. Counts are exact.
    #[default]
    All,
    /// At most this many: the first, the last, and one of each of the equal parts between, the same in every run. Counts are estimates:
    /// each workgroup stands for its part.
    Sample(u32),
}

/// A dispatch of a shader: what is bound to its variables, and how it is run.
#[derive(Debug, Clone)]
pub struct Dispatch<'s> {
    shader: &'s Shader,
    workgroups: [u32; 3],
    bound: BTreeMap<String, Resource>,
    chosen: Workgroups,
    mode: Mode,
}

/// What a dispatch did.
#[derive(Debug, Clone)]
pub struct Report {
    /// Faults, in the order in which they occurred.
    pub faults: Vec<Fault>,
    /// Counts.
    pub counts: Counts,
    bound: BTreeMap<String, Resource>,
}

impl<'s> Dispatch<'s> {
    /// A dispatch of so many workgroups, in x, y and z. Its subgroups have 32 lanes.
    pub fn new(shader: &'s Shader, workgroups: [u32; 3]) -> Self {
        let mode = Mode {
            subgroup: 32,
            fma: Fma::Separate,
            values: true,
            races: true,
            extrapolates: true,
            most_iterations: 1 << 24,
        };
        Dispatch { shader, workgroups, bound: BTreeMap::new(), chosen: Workgroups::All, mode }
    }

    /// Binds a buffer or a texture to the variable of this name.
    #[must_use]
    pub fn bind(mut self, variable: impl Into<String>, resource: impl Into<Resource>) -> Self {
        self.bound.insert(variable.into(), resource.into());
        self
    }

    /// Sets the lanes of a subgroup: 4, 8, 16, 32 or 64.
    #[must_use]
    pub fn subgroup(mut self, lanes: u32) -> Self {
        self.mode.subgroup = lanes;
        self
    }

    /// Sets how multiply-adds round.
    #[must_use]
    pub fn fma(mut self, fma: Fma) -> Self {
        self.mode.fma = fma;
        self
    }

    /// Runs only some of the workgroups.
    #[must_use]
    pub fn workgroups(mut self, chosen: Workgroups) -> Self {
        self.chosen = chosen;
        self
    }

    /// Computes only the values that addresses and control flow depend on, and does not look for races: counts are the same, and come
    /// several times faster. Buffers are not written, except those that addresses depend on.
    #[must_use]
    pub fn counts_only(mut self) -> Self {
        self.mode.values = false;
        self.mode.races = false;
        self
    }

    /// Runs every iteration of every loop. Otherwise [`Dispatch::counts_only`] counts loops whose iterations differ in nothing but a
    /// constant distance of their addresses by running 64 iterations and the last few. This gives the same counts; the sectors of
    /// [`Counts::footprints`] may be a few more.
    #[must_use]
    pub fn every_iteration(mut self) -> Self {
        self.mode.extrapolates = false;
        self
    }

    /// Computes only the values that addresses and control flow depend on, but makes all checks.
    #[must_use]
    pub fn checks_only(mut self) -> Self {
        self.mode.values = false;
        self.mode.races = true;
        self
    }

    /// Sets the most iterations of a loop, 2^24 without this. More are a fault, and the loop ends.
    #[must_use]
    pub fn most_iterations(mut self, most: u64) -> Self {
        self.mode.most_iterations = most;
        self
    }

    /// Runs the dispatch.
    ///
    /// # Errors
    /// [`Error::Binding`] if a variable has nothing bound to it, too little, or the wrong kind of resource, or if there is no variable
    /// of a bound name; [`Error::Value`] for a subgroup size that does not exist, and for too many invocations.
    pub fn run(self) -> Result<Report> {
        match self.shader.workgroup_size().iter().product::<u32>().div_ceil(64) {
            1 => self.run_in::<1>(),
            2..=4 => self.run_in::<4>(),
            _ => self.run_in::<{ MOST_LANES / 64 }>(),
        }
    }

    /// Runs the dispatch with masks of `N` words.
    fn run_in<const N: usize>(mut self) -> Result<Report> {
        if !matches!(self.mode.subgroup, 4 | 8 | 16 | 32 | 64) {
            let value = self.mode.subgroup.into();
            return Err(Error::Value { what: "the lanes of a subgroup", value, expected: "4, 8, 16, 32 or 64" });
        }
        let shader = self.shader;
        let program = &shader.analysed.program;
        let resources = program.variables.iter().map(|variable| self.resource(variable)).collect::<Result<Vec<_>>>()?;
        if let Some(name) = self.bound.keys().next() {
            return Err(Error::Binding {
                name: name.clone(),
                problem: "the shader has no variable of this name".into(),
            });
        }
        let mut factors = self.workgroups.iter().chain(&program.workgroup_size).map(|&count| u64::from(count));
        let invocations = factors.try_fold(1_u64, u64::checked_mul).unwrap_or(u64::MAX);
        if invocations > 1 << 62 {
            let expected = "at most 2^62";
            return Err(Error::Value { what: "the invocations of the dispatch", value: invocations, expected });
        }
        let mut machine = Machine::<N>::new(&shader.analysed, self.mode, self.workgroups, resources);
        let total = self.workgroups.iter().map(|&count| u64::from(count)).product::<u64>();
        let mut counts = Counts {
            workgroups: total as f64,
            invocations: program.workgroup_size.iter().product(),
            subgroup: self.mode.subgroup,
            live_registers: shader.analysed.live[0],
            live_scalars: shader.analysed.live[1],
            workgroup_bytes: workgroup_bytes(shader),
            ..Counts::default()
        };
        let mut footprints = vec![Footprint::default(); program.variables.len()];
        for (index, stands_for) in chosen(total, self.chosen) {
            let [width, height, _] = self.workgroups.map(u64::from);
            let id = [index % width, index / width % height, index / width / height].map(|id| id as u32);
            let of_workgroup = machine.run(id);
            counts.plus(&of_workgroup, stands_for);
            counts.counted += 1;
            machine.take_sectors(&mut |variable, [loaded, touched]| {
                footprints[variable].loaded_sectors += loaded as f64 * stands_for;
                footprints[variable].workgroup_sectors += touched as f64 * stands_for;
            });
        }
        for (index, variable) in program.variables.iter().enumerate() {
            if variable.space != Space::Workgroup {
                footprints[index].sectors = machine.all_sectors(index) as f64;
                footprints[index].bytes = machine.bytes(index) as f64;
                counts.footprints.insert(variable.name.clone(), footprints[index]);
            }
        }
        let faults = std::mem::take(&mut machine.faults);
        let names = program.variables.iter().map(|variable| variable.name.clone());
        let bound = names.zip(machine.into_resources()).filter_map(|(name, bound)| Some((name, bound?))).collect();
        Ok(Report { faults, counts, bound })
    }

    /// What is bound to a variable; `None` for workgroup memory.
    fn resource(&mut self, variable: &crate::code::Variable) -> Result<Option<Resource>> {
        let failed = |problem: String| Err(Error::Binding { name: variable.name.clone(), problem });
        if variable.space == Space::Workgroup {
            return Ok(None);
        }
        let Some(resource) = self.bound.remove(&variable.name) else {
            return failed("nothing is bound to it".into());
        };
        match (&resource, variable.space) {
            (Resource::Buffer(buffer), Space::Uniform | Space::Storage { .. }) => {
                if buffer.len() < u64::from(variable.words) {
                    return failed(format!("{} words are bound, it needs {}", buffer.len(), variable.words));
                }
                if buffer.len() > 1 << 31 {
                    return failed(format!("{} words are bound, more than 2^31", buffer.len()));
                }
            }
            (Resource::Texture(texture), Space::Texture { .. }) => {
                if u64::from(texture.width()) * u64::from(texture.height()) > 1 << 29 {
                    return failed(format!("{} x {} texels, more than 2^29", texture.width(), texture.height()));
                }
            }
            (Resource::Buffer(_), _) => return failed("a buffer is bound, it needs a texture".into()),
            (Resource::Texture(_), _) => return failed("a texture is bound, it needs a buffer".into()),
        }
        Ok(Some(resource))
    }
}

/// Bytes of workgroup memory of a shader.
fn workgroup_bytes(shader: &Shader) -> u32 {
    let variables = shader.analysed.program.variables.iter();
    variables.filter(|v| v.space == Space::Workgroup).map(|v| v.words.saturating_mul(4)).sum()
}

/// The workgroups to run, and how many each stands for.
fn chosen(total: u64, chosen: Workgroups) -> Box<dyn Iterator<Item = (u64, f64)>> {
    let most = match chosen {
        Workgroups::All => u64::MAX,
        Workgroups::Sample(most) => u64::from(most).max(1),
    };
    if total <= most {
        return Box::new((0..total).map(|index| (index, 1.0)));
    }
    if most < 3 {
        let stands_for = total as f64 / most as f64;
        return Box::new([0, total - 1].into_iter().take(most as usize).map(move |index| (index, stands_for)));
    }
    // The first and the last stand for themselves.
    let (inner, parts) = (total - 2, most - 2);
    let part = move |i: u64| 1 + (u128::from(inner) * u128::from(i) / u128::from(parts)) as u64;
    let inner = (0..parts).map(move |i| {
        let (start, end) = (part(i), part(i + 1));
        // A fixed place in each part, at another distance from its start in each, so that no period of the workgroups is missed.
        let offset = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) % (end - start);
        (start + offset, (end - start) as f64)
    });
    Box::new([(0, 1.0)].into_iter().chain(inner).chain([(total - 1, 1.0)]))
}

impl Report {
    /// The buffer that was bound to a variable, as it is after the dispatch.
    pub fn buffer(&self, variable: &str) -> Option<&Buffer> {
        match self.bound.get(variable) {
            Some(Resource::Buffer(buffer)) => Some(buffer),
            _ => None,
        }
    }

    /// The texture that was bound to a variable, as it is after the dispatch.
    pub fn texture(&self, variable: &str) -> Option<&Texture> {
        match self.bound.get(variable) {
            Some(Resource::Texture(texture)) => Some(texture),
            _ => None,
        }
    }

    /// Everything that was bound, by the names of the variables.
    pub fn into_bound(self) -> BTreeMap<String, Resource> {
        self.bound
    }
}
