//! Optimisers: they change the parameters of a network on the device, given gradients from anywhere.

use crate::error::{Error, Result};
use crate::gradients::Gradients;
use crate::graph::{Kind, Parameter};
use crate::layout::ArenaLayout;
use crate::network::Network;
use crate::rule::{Rule, SETTINGS, UpdateRule};
use crate::shaders::{self, Splits, shader};
use crate::state::{Entry, Incompatible, StateDict};
#[cfg(not(target_arch = "wasm32"))]
use conv1d::block_on;
use conv1d::{Bindings, Bound, Shader, Tensor, Workgroups};
use std::collections::BTreeMap;
use std::ops::Range;

/// Steps that are counted. No run reaches them.
const MOST_STEPS: u64 = 1 << 48;
/// The most `Gradients` whose bound dispatches are kept: a session's and an accumulator are two.
const BOUND: usize = 4;

/// Parameters with a rule of their own: another learning rate, no weight decay.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParameterGroup {
    /// Their names.
    pub names: Vec<String>,
    /// Their rule: of the same kind as that of the other parameters.
    pub rule: UpdateRule,
}

impl ParameterGroup {
    /// A rule for parameters of these names.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>, rule: impl Into<UpdateRule>) -> Self {
        ParameterGroup { names: names.into_iter().map(Into::into).collect(), rule: rule.into() }
    }
}

/// Options of an [`Optimizer`] beside its rule.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct OptimizerOptions {
    /// The largest norm of all gradients together (`torch.nn.utils.clip_grad_norm_`); larger ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Parameters that do not follow the optimiser's rule but one of their own.
    pub groups: Vec<ParameterGroup>,
}

impl OptimizerOptions {
    /// Sets the largest norm of all gradients together.
    #[must_use]
    pub fn clip_norm(self, norm: f32) -> Self {
        OptimizerOptions { clip_norm: Some(norm), ..self }
    }

    /// Adds a group of parameters.
    #[must_use]
    pub fn group(mut self, group: ParameterGroup) -> Self {
        self.groups.push(group);
        self
    }
}

/// Changes the parameters of a network step by step, on the device.
///
/// All trained parameters are updated in each step, those without influence on the output too: weight decay shrinks them. Frozen
/// parameters ([`Network::frozen`]) stay.
///
/// ```
/// use conv1d_nn::{AdamW, Network, OptimizerOptions, ParameterGroup, SessionOptions, Tcn};
/// # let gpu = conv1d::Gpu::new()?;
/// let network = Network::new(&gpu, &Tcn::new(2, 8, 1).layers(1).dropout(0.0), 1)?;
/// let session = network.session_with([4, 2, 16], &SessionOptions::training())?;
/// let biases = network.parameter_names().filter(|name| name.ends_with("bias"));
/// let options = OptimizerOptions::default()
///     .clip_norm(1.0)
///     .group(ParameterGroup::new(biases, AdamW::new(0.01).weight_decay(0.0)));
/// let mut optimizer = network.optimizer_with(AdamW::new(0.01), &options)?;
///
/// session.input().write(&[0.5; 4 * 2 * 16])?;
/// let mut losses = Vec::new();
/// for step in 0..30 {
///     session.set_step(step)?; // other elements are dropped in each step
///     session.forward()?;
///     // A loss of one's own: the mean of (y - 1)^4, here on the host; a shader does the same without waiting.
///     let y = session.output().read()?;
///     losses.push(y.iter().map(|y| (y - 1.0).powi(4)).sum::<f32>() / 4.0);
///     let gradient: Vec<f32> = y.iter().map(|y| (y - 1.0).powi(3)).collect();
///     session.output_gradient().unwrap().write(&gradient)?;
///     session.backward()?;
///     optimizer.step(session.gradients()?)?;
///     optimizer.set_learning_rate(0.01 / (1.0 + f64::from(step) / 50.0))?;
/// }
/// assert!(losses[29] < losses[0] / 10.0, "{losses:?}");
/// # Ok::<(), conv1d_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    network: Network,
    /// The rules of the groups; the first is that of all other parameters.
    rules: Vec<UpdateRule>,
    /// Element ranges of the parameters, and the group of each.
    ranges: Vec<(usize, Range<u64>)>,
    options: OptimizerOptions,
    /// State of the parameters, one tensor for each of the rule's names.
    state: Vec<Tensor>,
    settings: Tensor,
    clipping: Option<Clipping>,
    /// The learning rates are multiplied by this.
    factor: f64,
    steps: u64,
    /// Whether a step was done since it was made or loaded.
    stepped: bool,
    bound: Vec<(Tensor, Bound)>,
}

/// Memory for the norm of all gradients.
#[derive(Debug)]
struct Clipping {
    limit: f32,
    /// Element ranges, how the sum over each is split, and the place of its first partial sum.
    sums: Vec<(Range<u64>, Splits, u64)>,
    /// Zeros between the partial sums of two ranges, so that each starts where a binding may.
    partials: Tensor,
    /// The factor of the gradients, and their norm.
    result: Tensor,
}

impl Network {
    /// An optimiser of the parameters of this network that are not frozen.
    pub fn optimizer(&self, rule: impl Into<UpdateRule>) -> Result<Optimizer> {
        self.optimizer_with(rule, &OptimizerOptions::default())
    }

    /// As [`Network::optimizer`], with options.
    ///
    /// # Errors
    /// [`Error::Argument`] names a number out of its range; [`Error::Parameter`] a parameter of a group that the network does not learn
    /// or that is in two groups, and a group with a rule of another kind.
    pub fn optimizer_with(&self, rule: impl Into<UpdateRule>, options: &OptimizerOptions) -> Result<Optimizer> {
        Optimizer::new(self, rule.into(), options)
    }
}

impl Optimizer {
    fn new(network: &Network, rule: UpdateRule, options: &OptimizerOptions) -> Result<Optimizer> {
        let gpu = network.gpu();
        let rules: Vec<UpdateRule> =
            std::iter::once(rule).chain(options.groups.iter().map(|group| group.rule)).collect();
        rules.iter().try_for_each(UpdateRule::check)?;
        let ranges = ranges(network, &rules, &options.groups)?;
        let trained = network.layout().trained;
        let state =
            rule.state_names().iter().map(|_| Ok(gpu.zeros([trained as usize])?)).collect::<Result<Vec<_>>>()?;
        let settings = gpu.zeros([rules.len() * SETTINGS])?;
        let clipping = options.clip_norm.map(|limit| Clipping::new(network, limit, &ranges)).transpose()?;
        Ok(Optimizer {
            network: network.clone(),
            rules,
            ranges,
            options: options.clone(),
            state,
            settings,
            clipping,
            factor: 1.0,
            steps: 0,
            stepped: false,
            bound: Vec::new(),
        })
    }

    /// Does a step: queued, nothing waits for it.
    ///
    /// # Errors
    /// [`Error::WrongNetwork`] where the gradients are of another network.
    pub fn step(&mut self, gradients: &Gradients) -> Result<()> {
        let bound = match self.bound.iter().find(|(known, _)| known.buffer() == gradients.values().buffer()) {
            Some((_, bound)) => bound.clone(),
            None => {
                let bound = self.bind(gradients)?;
                self.bound.truncate(BOUND - 1);
                self.bound.insert(0, (gradients.values().clone(), bound.clone()));
                bound
            }
        };
        self.write_settings()?;
        self.network.gpu().run(&bound)?;
        self.count_step();
        Ok(())
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Steps done so far, those before a checkpoint included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate of the parameters in no group.
    pub fn learning_rate(&self) -> f64 {
        self.rules[0].learning_rate()
    }

    /// Sets the learning rate of the parameters in no group.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.set_rate(0, learning_rate)
    }

    /// Sets the learning rate of a group, counted from 0 as the options have them.
    pub fn set_group_learning_rate(&mut self, group: usize, learning_rate: f64) -> Result<()> {
        let groups = self.options.groups.len();
        if group >= groups {
            return Err(Error::too_large("a group of parameters", group as u64, groups.saturating_sub(1) as u64));
        }
        self.set_rate(group + 1, learning_rate)
    }

    /// Sets the number that all learning rates are multiplied by, 1 at first: for schedules (`torch.optim.lr_scheduler.LambdaLR`).
    pub fn set_learning_rate_factor(&mut self, factor: f64) -> Result<()> {
        check_rates(&self.rules, factor)?;
        self.factor = factor;
        Ok(())
    }

    fn set_rate(&mut self, index: usize, learning_rate: f64) -> Result<()> {
        let mut rules = self.rules.clone();
        rules[index] = rules[index].with_learning_rate(learning_rate);
        check_rates(&rules, self.factor)?;
        self.rules = rules;
        Ok(())
    }

    /// Waits, and reads the norm of all gradients together of the last step, before clipping.
    ///
    /// # Errors
    /// [`Error::Unprepared`] without clipping, and before the first step.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn gradient_norm(&self) -> Result<f32> {
        block_on(self.gradient_norm_async())
    }

    /// As `gradient_norm`, without blocking.
    pub async fn gradient_norm_async(&self) -> Result<f32> {
        let unprepared = |needs| Error::Unprepared { what: "norms of gradients", needs };
        let clipping = self.clipping.as_ref().ok_or(unprepared("the option clip_norm"))?;
        if !self.stepped {
            return Err(unprepared("a step before them"));
        }
        Ok(clipping.result.read_async().await?[1])
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        let clipping = self.clipping.iter().flat_map(|clipping| [&clipping.partials, &clipping.result]);
        let tensors = self.state.iter().chain([&self.settings]).chain(clipping);
        tensors.map(|tensor| tensor.buffer().size()).sum()
    }

    /// Reads the state of the optimiser back: of each parameter by PyTorch's names, such as `exp_avg.weight`; steps and learning rates
    /// as metadata.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn state_dict(&self) -> Result<StateDict> {
        block_on(self.state_dict_async())
    }

    /// As `state_dict`, without blocking.
    pub async fn state_dict_async(&self) -> Result<StateDict> {
        let mut dict = StateDict::default();
        for (name, tensor) in self.rules[0].state_names().iter().zip(&self.state) {
            let values = tensor.read_async().await?;
            let entries = self.network.graph().entries(self.network.layout(), &values, learnt);
            dict.entries.extend(entries.into_iter().map(|(parameter, entry)| (format!("{name}.{parameter}"), entry)));
        }
        let rates = self.rules.iter().enumerate();
        let rates = rates.map(|(group, rule)| (rate_name(group), rule.learning_rate().to_bits().to_string()));
        let others = [("step", self.steps.to_string()), (FACTOR, self.factor.to_bits().to_string())];
        dict.metadata = rates.chain(others.map(|(name, value)| (name.to_owned(), value))).collect();
        Ok(dict)
    }

    /// Takes the state of an optimiser of the same network and the same rules. An error leaves everything as it was.
    ///
    /// # Errors
    /// [`Error::StateKeys`] and [`Error::Parameter`] name what is missing, unexpected or of another shape.
    pub fn load_state_dict(&mut self, dict: &StateDict) -> Result<()> {
        self.checked(dict)?.apply(self)
    }

    /// What [`Optimizer::load_state_dict`] would write, checked.
    pub(crate) fn checked(&self, dict: &StateDict) -> Result<Loaded> {
        let wrong = |message: String| Error::parameter("the state of the optimiser", message);
        let number = |name: &str| {
            let text = dict.metadata.get(name).ok_or_else(|| wrong(format!("it has no {name}")))?;
            text.parse::<u64>().map_err(|_| wrong(format!("its {name} is {text:?}")))
        };
        let steps = number("step")?;
        if steps > MOST_STEPS {
            return Err(Error::too_large("steps of a checkpoint", steps, MOST_STEPS));
        }
        let rates = self.rules.iter().enumerate();
        let rules = rates.map(|(group, rule)| Ok(rule.with_learning_rate(f64::from_bits(number(&rate_name(group))?))));
        let rules = rules.collect::<Result<Vec<_>>>()?;
        let factor = dict.metadata.get(FACTOR).map_or(Ok(1.0), |_| number(FACTOR).map(f64::from_bits))?;
        check_rates(&rules, factor)?;
        if let Some(unknown) = dict
            .metadata
            .keys()
            .find(|key| key.starts_with("learning_rate.") && !(1..rules.len()).any(|group| **key == rate_name(group)))
        {
            return Err(wrong(format!("it has the {unknown} of a group that is not here")));
        }
        let names = self.rules[0].state_names();
        let mut parts: Vec<BTreeMap<String, Entry>> = names.iter().map(|_| BTreeMap::new()).collect();
        for (name, entry) in &dict.entries {
            let found = names.iter().zip(&mut parts).find_map(|(state, part)| {
                let parameter = name.strip_prefix(state)?.strip_prefix('.')?;
                Some((parameter.to_owned(), part))
            });
            match found {
                Some((parameter, part)) => drop(part.insert(parameter, entry.clone())),
                None => return Err(Error::StateKeys { missing: Vec::new(), unexpected: vec![name.clone()] }),
            }
        }
        let (graph, layout) = (self.network.graph(), self.network.layout());
        let fill = |entries: &BTreeMap<String, Entry>| {
            let mut values = vec![0.0; layout.trained as usize];
            drop(graph.fill(layout, &mut values, entries, learnt, Incompatible::refuse)?);
            Ok(values)
        };
        let values = parts.iter().map(fill).collect::<Result<Vec<_>>>()?;
        Ok(Loaded { steps, rules, factor, values })
    }

    /// Writes the settings of the next step.
    pub(crate) fn write_settings(&self) -> Result<()> {
        let settings = |rule: &UpdateRule| rule.settings(self.steps + 1, self.factor);
        let words: Vec<f32> = self.rules.iter().flat_map(settings).collect();
        Ok(self.settings.write(&words)?)
    }

    /// Counts a step whose dispatches were submitted.
    pub(crate) fn count_step(&mut self) {
        self.steps += 1;
        self.stepped = true;
    }

    pub(crate) fn rule(&self) -> &UpdateRule {
        &self.rules[0]
    }

    pub(crate) fn options(&self) -> &OptimizerOptions {
        &self.options
    }

    /// The dispatches of a step from these gradients.
    pub(crate) fn bind(&self, gradients: &Gradients) -> Result<Bound> {
        if !self.network.shares(gradients.network()) {
            return Err(Error::WrongNetwork { what: "gradients" });
        }
        let mut bounds = match &self.clipping {
            Some(clipping) => clipping.bind(&self.network, gradients)?,
            None => Vec::new(),
        };
        for (group, range) in &self.ranges {
            bounds.push(self.bind_range(gradients, *group, range)?);
        }
        Ok(Bound::sequence(self.network.gpu(), bounds)?)
    }

    /// The dispatch of a step for parameters that lie one after another.
    fn bind_range(&self, gradients: &Gradients, group: usize, range: &Range<u64>) -> Result<Bound> {
        let count = range.end - range.start;
        let part = |tensor: &Tensor| tensor.part(range.start as usize, [count as usize]);
        let (gradient, parameter) = (part(gradients.values())?, part(self.network.state())?);
        let state = self.state.iter().map(part).collect::<conv1d::Result<Vec<_>>>()?;
        let mut bindings = Bindings::new()
            .value("count", count as u32)
            .value("group", group as u32)
            .with("settings", self.settings.slice())
            .with("gradients", gradient.slice())
            .with("parameters", parameter.slice());
        if let Some(clipping) = &self.clipping {
            bindings = bindings.with("clipping", clipping.result.slice());
        }
        let names: &[&str] = match self.rules[group].rule() {
            Rule::Sgd(sgd) => {
                bindings = bindings.value("momentum", sgd.momentum).value("weight_decay", sgd.weight_decay);
                &["velocities"]
            }
            Rule::Adam { adam, .. } => {
                let [beta1, beta2] = [adam.beta1, adam.beta2];
                bindings = bindings
                    .value("beta1", beta1 as f32)
                    .value("beta2", beta2 as f32)
                    .value("rest1", (1.0 - beta1) as f32)
                    .value("rest2", (1.0 - beta2) as f32)
                    .value("epsilon", adam.epsilon)
                    .value("weight_decay", adam.weight_decay);
                &["means", "squares"]
            }
        };
        for (name, tensor) in names.iter().zip(&state) {
            bindings = bindings.with(name, tensor.slice());
        }
        let shader = update_shader(&self.rules[group], self.clipping.is_some());
        let shader = self.network.gpu().prepare_shader(&shader)?;
        Ok(shader.bind(&bindings, Workgroups::Elements(count))?)
    }
}

/// The shader of a rule, with clipping or without.
pub(crate) fn update_shader(rule: &UpdateRule, clipped: bool) -> Shader {
    let shader = match rule.rule() {
        Rule::Sgd(sgd) if sgd.momentum == 0.0 => shader(&shaders::SGD).part("optimizer/momentum", "none"),
        Rule::Sgd(sgd) => {
            shader(&shaders::SGD).part("optimizer/momentum", "velocity").constant("NESTEROV", sgd.nesterov.into())
        }
        Rule::Adam { decoupled, .. } => shader(&shaders::ADAM).constant("DECOUPLED", decoupled.into()),
    };
    shader.part("optimizer/clipping", if clipped { "scaled" } else { "none" })
}

/// A checked state of an optimiser.
pub(crate) struct Loaded {
    steps: u64,
    rules: Vec<UpdateRule>,
    factor: f64,
    values: Vec<Vec<f32>>,
}

impl Loaded {
    pub(crate) fn apply(self, optimizer: &mut Optimizer) -> Result<()> {
        for (tensor, values) in optimizer.state.iter().zip(&self.values) {
            tensor.write(values)?;
        }
        optimizer.rules = self.rules;
        optimizer.factor = self.factor;
        (optimizer.steps, optimizer.stepped) = (self.steps, false);
        Ok(())
    }
}

/// The factor of all learning rates in metadata.
const FACTOR: &str = "learning_rate_factor";

/// Checks every rule, with its learning rate and with the one that a factor makes of it.
fn check_rates(rules: &[UpdateRule], factor: f64) -> Result<()> {
    if !(factor.is_finite() && factor >= 0.0) {
        return Err(Error::argument("the factor of learning rates", factor, "finite and not negative"));
    }
    for rule in rules {
        rule.check()?;
        rule.with_learning_rate(rule.learning_rate() * factor).check()?;
    }
    Ok(())
}

/// The learning rate of a group in metadata.
fn rate_name(group: usize) -> String {
    if group == 0 { "learning_rate".to_owned() } else { format!("learning_rate.{group}") }
}

fn learnt(parameter: &Parameter) -> bool {
    parameter.kind == Kind::Trained
}

impl Clipping {
    fn new(network: &Network, limit: f32, ranges: &[(usize, Range<u64>)]) -> Result<Clipping> {
        if limit.is_nan() || limit <= 0.0 {
            return Err(Error::argument("the largest norm of gradients", limit, "more than 0"));
        }
        let gpu = network.gpu();
        let mut joined: Vec<Range<u64>> = Vec::new();
        for (_, range) in ranges {
            match joined.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => joined.push(range.clone()),
            }
        }
        let (mut sums, mut end) = (Vec::new(), 0);
        for range in joined {
            let splits = Splits::of(range.end - range.start, 1, gpu.caps())?;
            sums.push((range, splits, end));
            end = (end + splits.count).next_multiple_of(ArenaLayout::ALIGNMENT);
        }
        let count = sums.last().map_or(0, |(_, splits, first)| first + splits.count);
        let partials = gpu.zeros([count as usize])?;
        Ok(Clipping { limit, sums, partials, result: gpu.zeros([2])? })
    }

    /// The dispatches that compute the norm and the factor.
    fn bind(&self, network: &Network, gradients: &Gradients) -> Result<Vec<Bound>> {
        let gpu = network.gpu();
        let squares = gpu.prepare_shader(&shader(&shaders::SUM_SQUARES))?;
        let mut bounds = Vec::new();
        for (range, splits, first) in &self.sums {
            let elements = range.end - range.start;
            let input = gradients.values().part(range.start as usize, [elements as usize])?;
            let partials = self.partials.part(*first as usize, [splits.count as usize])?;
            let bindings = Bindings::new()
                .values(splits.values(elements, [0; 2]))
                .with("input", input.slice())
                .with("partials", partials.slice());
            bounds.push(squares.bind(&bindings, Workgroups::Count(splits.count))?);
        }
        if !bounds.is_empty() {
            let clip = Bindings::new()
                .value("splits", self.partials.len() as u32)
                .value("limit", self.limit)
                .with("partials", self.partials.slice())
                .with("clipping", self.result.slice());
            bounds.push(gpu.prepare_shader(&shader(&shaders::CLIP))?.bind(&clip, Workgroups::Count(1))?);
        }
        Ok(bounds)
    }
}

/// The element ranges of the trained parameters and the group of each, as few as the groups allow. The elements between two parameters
/// have gradients of zero and belong to the first.
fn ranges(network: &Network, rules: &[UpdateRule], groups: &[ParameterGroup]) -> Result<Vec<(usize, Range<u64>)>> {
    let (graph, layout) = (network.graph(), network.layout());
    let mut group_of: Vec<usize> = vec![0; graph.parameters.len()];
    for (index, group) in groups.iter().enumerate() {
        if !group.rule.is_like(&rules[0]) {
            let message = format!("it has another kind of rule than the other parameters: {:?}", group.rule);
            return Err(Error::parameter(&format!("group {index}"), message));
        }
        for name in &group.names {
            let parameter = network.trained_index(name)?;
            if group_of[parameter] != 0 {
                return Err(Error::parameter(name, "it is in two groups, or twice in one"));
            }
            group_of[parameter] = index + 1;
        }
    }
    let mut ranges: Vec<(usize, Range<u64>)> = Vec::new();
    let mut open = false;
    let learnt = graph.parameters.iter().zip(&layout.offsets).zip(group_of).filter(|((p, _), _)| learnt(p));
    for ((parameter, &offset), group) in learnt {
        if let Some((_, last)) = ranges.last_mut().filter(|_| open) {
            last.end = offset;
        }
        open = parameter.is_trained();
        if open && ranges.last().is_none_or(|(last, range)| *last != group || range.end != offset) {
            ranges.push((group, offset..offset));
        }
    }
    if let Some((_, last)) = ranges.last_mut().filter(|_| open) {
        last.end = layout.trained;
    }
    ranges.retain(|(_, range)| !range.is_empty());
    Ok(ranges)
}
