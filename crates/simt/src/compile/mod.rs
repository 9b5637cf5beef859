//! Compiles a naga module for the interpreter: functions are called in line, composites become scalars, and loops whose conditions
//! are constants are unrolled, as drivers do. Equal operations are computed once, and outside of loops where that is possible, so that
//! the counts are those of optimised code.

mod builder;
mod expression;

use crate::code::{Access, Count};
use crate::code::{AtomicCode, Node, Op, Program, Space, Val, Variable, input};
use crate::error::{Error, Result};
use crate::layout::{Kind, Layout};
use crate::program::optimise;
use builder::{Builder, Mark, RegionKind, Slot};
use expression::{Place, Root, Value};
use naga::{AddressSpace, Block, Expression, Function, Handle, Statement};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// Most iterations of a loop that is unrolled, and most operations of one. With these the main loops of conv1d's kernels are unrolled as
/// Mesa's ACO unrolls them (a test compares).
const MOST_ITERATIONS: u32 = 128;
const MOST_OPERATIONS: usize = 16_384;

/// Most operations of a shader, with calls in line and loops unrolled, and most that are tried on the way.
const MOST_OF_SHADER: usize = 1 << 18;
const MOST_WORK: usize = 1 << 23;

/// Most scalars of a private variable or a value, of all private variables, and most words of workgroup memory.
const MOST_SCALARS: u32 = 1 << 16;
const MOST_SLOTS: usize = 1 << 18;
const MOST_WORKGROUP_WORDS: u64 = 1 << 20;

/// Why code cannot be emitted here.
enum Stop {
    Error(Error),
    /// A loop that was to be unrolled has a condition that is not constant, or is too long.
    Unrollable,
    /// A function that was to be called in line without a scope returns inside of control flow.
    Returns(Handle<Function>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

/// How control leaves a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Falls,
    Break,
    Continue,
    Return,
    /// In different ways.
    Ends,
}

/// An enclosing construct.
enum Frame {
    /// A loop that is being unrolled. A `break` or `continue` is known when the code is emitted.
    Unrolled {
        regions: usize,
    },
    /// A loop, or a `switch`, with the slots that code in it stores to.
    Loop {
        stored: Rc<[usize]>,
    },
    Switch {
        stored: Rc<[usize]>,
    },
    /// A `switch` with a constant selector.
    Chosen {
        regions: usize,
    },
    /// A function, whose result goes to these slots if it is a scope.
    Function {
        handle: Option<Handle<Function>>,
        regions: usize,
        scope: Option<Scope>,
    },
}

#[derive(Clone)]
struct Scope {
    result: Vec<usize>,
    stored: Rc<[usize]>,
}

/// A function that is being compiled.
struct Context<'m> {
    function: &'m Function,
    arguments: Vec<Value>,
    values: HashMap<Handle<Expression>, Value>,
    /// First slot of each local variable.
    locals: HashMap<Handle<naga::LocalVariable>, (usize, Rc<Layout>)>,
    /// Pointers that are stored to.
    targets: HashSet<Handle<Expression>>,
    result: Option<Value>,
}

struct Compiler<'m> {
    module: &'m naga::Module,
    text: Arc<str>,
    /// First byte of each line of the text.
    lines: Vec<usize>,
    workgroup_size: [u32; 3],
    builder: Builder,
    frames: Vec<Frame>,
    variables: Vec<Variable>,
    /// The variable, or the first slot, of each global.
    globals: HashMap<Handle<naga::GlobalVariable>, Root>,
    layouts: HashMap<Handle<naga::Type>, Rc<Layout>>,
    private: Vec<usize>,
    /// Functions that return inside of control flow.
    scoped: HashSet<Handle<Function>>,
    line: u32,
    loops: usize,
    /// The calls in line around the code, and the loops that cannot be unrolled in them, while an enclosing loop is compiled again.
    calls: Vec<usize>,
    hopeless: Vec<(Vec<usize>, usize)>,
}

/// A value or a private variable that is not too large.
fn few_scalars(layout: &Layout) -> Result<()> {
    match layout.scalars() {
        0..=MOST_SCALARS => Ok(()),
        scalars => {
            let what = "the scalars of a private variable or a value";
            Err(Error::Value { what, value: scalars.into(), expected: "at most 65536" })
        }
    }
}

/// Compiles an entry point of a validated module.
pub(crate) fn compile(module: &naga::Module, entry: &naga::EntryPoint, text: &str) -> Result<Program> {
    if entry.stage != naga::ShaderStage::Compute {
        return Err(Error::Unknown { what: format!("the stage {:?}", entry.stage) });
    }
    if entry.workgroup_size_overrides.is_some() || !module.overrides.is_empty() {
        return Err(Error::Unknown { what: "overrides".into() });
    }
    let mut compiler = Compiler {
        module,
        text: text.into(),
        lines: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect(),
        workgroup_size: entry.workgroup_size,
        builder: Builder::new(input::COUNT),
        frames: Vec::new(),
        variables: Vec::new(),
        globals: HashMap::new(),
        layouts: HashMap::new(),
        private: Vec::new(),
        scoped: HashSet::new(),
        line: 0,
        loops: 0,
        calls: Vec::new(),
        hopeless: Vec::new(),
    };
    compiler.declare()?;
    let arguments = entry.function.arguments.iter();
    let arguments = arguments.map(|argument| compiler.builtin(argument)).collect::<Result<Vec<_>>>()?;
    compiler.frames.push(Frame::Function { handle: None, regions: 1, scope: None });
    match compiler.function(&entry.function, arguments) {
        Ok(_) => {}
        Err(Stop::Error(error)) => return Err(error),
        Err(Stop::Unrollable | Stop::Returns(_)) => {
            return Err(Error::Unknown { what: "this control flow".into() });
        }
    }
    let nodes = compiler.builder.close().nodes;
    let registers = compiler.builder.registers();
    Ok(optimise(Program {
        name: entry.name.clone(),
        workgroup_size: entry.workgroup_size,
        variables: compiler.variables,
        nodes,
        registers,
        segments: 0,
        loops: compiler.loops,
        text: compiler.text,
    }))
}

impl<'m> Compiler<'m> {
    fn layout(&mut self, ty: Handle<naga::Type>) -> Result<Rc<Layout>> {
        if let Some(layout) = self.layouts.get(&ty) {
            return Ok(layout.clone());
        }
        let layout = Layout::of(self.module, ty)?;
        self.layouts.insert(ty, layout.clone());
        Ok(layout)
    }

    /// New slots for a private variable.
    fn slots(&mut self, layout: &Layout) -> Result<usize> {
        few_scalars(layout)?;
        let all = self.builder.homes.len() + layout.scalars() as usize;
        if all > MOST_SLOTS {
            let what = "the scalars of all private variables, with calls in line";
            return Err(Error::Value { what, value: all as u64, expected: "at most 262144" });
        }
        Ok(self.builder.slots(layout.scalars()))
    }

    /// Declares the variables of the module.
    fn declare(&mut self) -> Result<()> {
        let module = self.module;
        for (handle, global) in module.global_variables.iter() {
            let name = global.name.clone().unwrap_or_default();
            let space = match global.space {
                AddressSpace::Uniform => Space::Uniform,
                AddressSpace::Storage { access } => {
                    Space::Storage { written: access.contains(naga::StorageAccess::STORE) }
                }
                AddressSpace::WorkGroup => Space::Workgroup,
                AddressSpace::Handle => match module.types[global.ty].inner {
                    naga::TypeInner::Image { dim: naga::ImageDimension::D2, arrayed: false, class } => match class {
                        naga::ImageClass::Sampled { kind: naga::ScalarKind::Float, multi: false } => {
                            Space::Texture { written: false }
                        }
                        naga::ImageClass::Storage { format: naga::StorageFormat::Rgba32Float, access } => {
                            Space::Texture { written: access.contains(naga::StorageAccess::STORE) }
                        }
                        class => return Err(Error::Unknown { what: format!("the texture {name} of {class:?}") }),
                    },
                    ref other => return Err(Error::Unknown { what: format!("the variable {name}: {other:?}") }),
                },
                AddressSpace::Private => {
                    let layout = self.layout(global.ty)?;
                    let first = self.slots(&layout)?;
                    let values = match global.init {
                        Some(init) => self.constant(&module.global_expressions, init)?.scalars()?,
                        None => vec![Val::Const(0); layout.scalars() as usize],
                    };
                    for (i, val) in values.into_iter().enumerate() {
                        self.builder.env[first + i] = Slot::Dirty(val);
                        self.private.push(first + i);
                    }
                    self.globals.insert(handle, Root::Slots(first, layout));
                    continue;
                }
                space => return Err(Error::Unknown { what: format!("the address space {space:?} of {name}") }),
            };
            let texture = matches!(space, Space::Texture { .. });
            let layout = if texture { Rc::new(Layout::Scalar(Kind::Float)) } else { self.layout(global.ty)? };
            let binding = global.binding.map(|binding| (binding.group, binding.binding));
            self.globals.insert(handle, Root::Variable(self.variables.len(), layout.clone()));
            self.variables.push(Variable { name, space, binding, words: layout.words() });
        }
        let in_workgroup = self.variables.iter().filter(|variable| variable.space == Space::Workgroup);
        let words = in_workgroup.map(|variable| u64::from(variable.words)).sum::<u64>();
        if words > MOST_WORKGROUP_WORDS {
            let what = "the words of workgroup memory";
            return Err(Error::Value { what, value: words, expected: "at most 1048576" });
        }
        Ok(())
    }

    /// The value of an argument of the entry point.
    fn builtin(&mut self, argument: &naga::FunctionArgument) -> Result<Value> {
        let layout = self.layout(argument.ty)?;
        let mut scalars = Vec::new();
        match &argument.binding {
            Some(binding) => self.builtin_scalars(binding, &mut scalars)?,
            None => {
                let naga::TypeInner::Struct { members, .. } = &self.module.types[argument.ty].inner else {
                    return Err(Error::Unknown { what: "an argument without a built-in value".into() });
                };
                for member in members {
                    let Some(binding) = &member.binding else {
                        return Err(Error::Unknown { what: "a member without a built-in value".into() });
                    };
                    self.builtin_scalars(binding, &mut scalars)?;
                }
            }
        }
        Ok(Value::new(layout, scalars))
    }

    fn builtin_scalars(&self, binding: &naga::Binding, to: &mut Vec<Val>) -> Result<()> {
        let naga::Binding::BuiltIn(builtin) = binding else {
            return Err(Error::Unknown { what: format!("the binding {binding:?}") });
        };
        let [x, y, z] = self.workgroup_size;
        let three = |first: u32| [0, 1, 2].map(|i| Val::Reg(first + i));
        match builtin {
            naga::BuiltIn::WorkGroupId => to.extend(three(input::WORKGROUP_ID)),
            naga::BuiltIn::NumWorkGroups => to.extend(three(input::WORKGROUPS)),
            naga::BuiltIn::WorkGroupSize => to.extend([x, y, z].map(Val::Const)),
            // The index is 0 along a dimension of one invocation, which compilers know.
            naga::BuiltIn::LocalInvocationId => {
                let only = [x, y, z].iter().filter(|&&size| size > 1).count() == 1;
                for (i, size) in (0..).zip([x, y, z]) {
                    to.push(match size {
                        1 => Val::Const(0),
                        _ if only => Val::Reg(input::LOCAL_INDEX),
                        _ => Val::Reg(input::LOCAL_ID + i),
                    });
                }
            }
            naga::BuiltIn::LocalInvocationIndex => to.push(match x * y * z {
                1 => Val::Const(0),
                _ => Val::Reg(input::LOCAL_INDEX),
            }),
            naga::BuiltIn::GlobalInvocationId => to.extend(three(input::GLOBAL_ID)),
            naga::BuiltIn::SubgroupSize => to.push(Val::Reg(input::SUBGROUP_SIZE)),
            naga::BuiltIn::NumSubgroups => to.push(Val::Reg(input::SUBGROUPS)),
            naga::BuiltIn::SubgroupId => to.push(Val::Reg(input::SUBGROUP_ID)),
            naga::BuiltIn::SubgroupInvocationId => to.push(Val::Reg(input::SUBGROUP_LANE)),
            other => return Err(Error::Unknown { what: format!("the built-in value {other:?}") }),
        }
        Ok(())
    }

    /// The line of a span, counted from 1; 0 if it is unknown.
    fn line_of(&self, span: naga::Span) -> u32 {
        let Some(range) = span.to_range().filter(|_| span.is_defined()) else { return 0 };
        self.lines.partition_point(|&start| start <= range.start) as u32
    }

    /// Emits a function in line.
    fn function(&mut self, function: &'m Function, arguments: Vec<Value>) -> Result<(Flow, Option<Value>), Stop> {
        let mut targets = HashSet::new();
        add_targets(function, &function.body, &mut targets);
        let (values, locals) = (HashMap::new(), HashMap::new());
        let mut context = Context { function, arguments, values, locals, targets, result: None };
        for (handle, local) in function.local_variables.iter() {
            let layout = self.layout(local.ty)?;
            let first = self.slots(&layout)?;
            let values = match local.init {
                Some(init) => self.constant(&function.expressions, init)?.scalars()?,
                None => vec![Val::Const(0); layout.scalars() as usize],
            };
            for (i, val) in values.into_iter().enumerate() {
                self.builder.env[first + i] = Slot::Dirty(val);
            }
            context.locals.insert(handle, (first, layout));
        }
        let flow = self.block(&mut context, &function.body)?;
        Ok((flow, context.result))
    }

    fn call(
        &mut self,
        context: &mut Context<'m>,
        handle: Handle<Function>,
        arguments: &[Handle<Expression>],
        result: Option<Handle<Expression>>,
    ) -> Result<(), Stop> {
        let function = &self.module.functions[handle];
        let arguments = arguments.iter().map(|&a| self.value(context, a)).collect::<Result<Vec<_>>>()?;
        let line = self.line;
        let depth = self.frames.len();
        if !self.scoped.contains(&handle) {
            let mark = self.builder.mark();
            let regions = self.builder.regions.len();
            self.frames.push(Frame::Function { handle: Some(handle), regions, scope: None });
            match self.function(function, arguments.clone()) {
                Ok((_, value)) => {
                    self.frames.truncate(depth);
                    self.line = line;
                    self.set_result(context, result, value);
                    return Ok(());
                }
                Err(Stop::Returns(returns)) if returns == handle => {
                    self.frames.truncate(depth);
                    self.builder.undo(&mark);
                    self.scoped.insert(handle);
                }
                Err(stop) => return Err(stop),
            }
        }
        let layout = match &function.result {
            Some(result) => Some(self.layout(result.ty)?),
            None => None,
        };
        let slots: Vec<usize> = match &layout {
            Some(layout) => {
                let first = self.slots(layout)?;
                (first..first + layout.scalars() as usize).collect()
            }
            None => Vec::new(),
        };
        let mut stored: Vec<usize> =
            arguments.iter().flat_map(Value::slots).chain(self.private.iter().copied()).collect();
        stored.extend(&slots);
        let scope = Scope { result: slots.clone(), stored: stored.into() };
        let regions = self.builder.regions.len();
        let before = self.builder.env.clone();
        self.builder.open(RegionKind::Scope);
        self.frames.push(Frame::Function { handle: Some(handle), regions, scope: Some(scope.clone()) });
        let (flow, _) = self.function(function, arguments)?;
        self.frames.truncate(depth);
        self.line = line;
        if flow == Flow::Falls {
            self.builder.flush(scope.stored.iter().copied());
        }
        let region = self.builder.close();
        self.builder.push_node(Node::Scope(region.nodes));
        self.builder.env = before;
        scope.stored.iter().for_each(|&slot| self.builder.env[slot] = Slot::Home);
        let value = layout.map(|layout| {
            let scalars = slots.iter().map(|&slot| self.builder.read(slot)).collect();
            Value::new(layout, scalars)
        });
        self.set_result(context, result, value);
        Ok(())
    }

    fn set_result(&self, context: &mut Context<'m>, result: Option<Handle<Expression>>, value: Option<Value>) {
        if let (Some(result), Some(value)) = (result, value) {
            context.values.insert(result, value);
        }
    }

    fn block(&mut self, context: &mut Context<'m>, block: &'m Block) -> Result<Flow, Stop> {
        for (statement, span) in block.span_iter() {
            if span.is_defined() {
                self.line = self.line_of(*span);
            }
            self.builder.work += 1;
            let flow = self.statement(context, statement)?;
            if self.builder.emitted > MOST_OF_SHADER || self.builder.work > MOST_WORK {
                let what = "the operations of the shader, with calls in line and loops unrolled";
                let value = self.builder.emitted.max(self.builder.work / (MOST_WORK / MOST_OF_SHADER)) as u64;
                return Err(Error::Value { what, value, expected: "at most 262144" }.into());
            }
            if flow != Flow::Falls {
                return Ok(flow);
            }
        }
        Ok(Flow::Falls)
    }

    fn statement(&mut self, context: &mut Context<'m>, statement: &'m Statement) -> Result<Flow, Stop> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.expression(context, handle)?;
                    context.values.insert(handle, value);
                }
            }
            Statement::Block(block) => return self.block(context, block),
            Statement::If { condition, accept, reject } => {
                let condition = self.scalar(context, *condition)?;
                return self.branch(context, condition, accept, reject);
            }
            Statement::Switch { selector, cases } => return self.switch(context, *selector, cases),
            Statement::Loop { body, continuing, break_if } => {
                return self.repeat(context, body, continuing, *break_if);
            }
            Statement::Break => return self.leave_loop(Flow::Break),
            Statement::Continue => return self.leave_loop(Flow::Continue),
            Statement::Return { value } => {
                let value = value.map(|value| self.value(context, value)).transpose()?;
                return self.leave_function(context, value);
            }
            Statement::ControlBarrier(barrier) => {
                let storage = barrier.contains(naga::Barrier::STORAGE);
                let workgroup = barrier.contains(naga::Barrier::WORK_GROUP);
                if barrier.contains(naga::Barrier::SUB_GROUP) || barrier.contains(naga::Barrier::TEXTURE) {
                    return Err(Error::Unknown { what: format!("{barrier:?}") }.into());
                }
                self.builder.push_node(Node::Barrier { storage, workgroup, line: self.line });
            }
            Statement::Store { pointer, value } => {
                let value = self.value(context, *value)?.scalars()?;
                match self.value(context, *pointer)? {
                    Value::Pointer(place) => self.store(&place, &value)?,
                    Value::Data { .. } => return Err(Error::Unknown { what: "a store to a value".into() }.into()),
                }
            }
            Statement::ImageStore { image, coordinate, array_index: None, value } => {
                let variable = self.texture(context, *image)?;
                let at = self.value(context, *coordinate)?.scalars()?;
                let from = self.value(context, *value)?.scalars()?;
                let (&[x, y], &[r, g, b, a]) = (&at[..], &from[..]) else {
                    return Err(Error::Unknown { what: "a store to this texture".into() }.into());
                };
                let line = self.line;
                self.builder.push(Op::TexelStore { variable, at: [x, y], from: [r, g, b, a], line });
            }
            Statement::Call { function, arguments, result } => {
                let calls = self.calls.len();
                self.calls.push(std::ptr::from_ref(statement) as usize);
                let called = self.call(context, *function, arguments, *result);
                self.calls.truncate(calls);
                called?;
            }
            Statement::WorkGroupUniformLoad { pointer, result } => {
                self.builder.push_node(Node::Barrier { storage: false, workgroup: true, line: self.line });
                let Value::Pointer(place) = self.value(context, *pointer)? else {
                    return Err(Error::Unknown { what: "workgroupUniformLoad of a value".into() }.into());
                };
                let value = self.load(&place)?;
                context.values.insert(*result, value);
                self.builder.push_node(Node::Barrier { storage: false, workgroup: true, line: self.line });
            }
            Statement::Atomic { pointer, fun, value, result } => {
                self.atomic(context, *pointer, fun, *value, *result)?;
            }
            other => {
                let name = format!("{other:?}");
                let name = name.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
                return Err(Error::Unknown { what: format!("the statement {name} of line {}", self.line) }.into());
            }
        }
        Ok(Flow::Falls)
    }

    fn branch(
        &mut self,
        context: &mut Context<'m>,
        condition: Val,
        accept: &'m Block,
        reject: &'m Block,
    ) -> Result<Flow, Stop> {
        if let Val::Const(condition) = condition {
            return self.block(context, if condition != 0 { accept } else { reject });
        }
        let before = self.builder.env.clone();
        self.builder.open(RegionKind::Branch);
        let accepted = self.block(context, accept)?;
        let (accept, accept_env) = (self.builder.close(), std::mem::replace(&mut self.builder.env, before.clone()));
        self.builder.open(RegionKind::Branch);
        let rejected = self.block(context, reject)?;
        let (reject, reject_env) = (self.builder.close(), std::mem::replace(&mut self.builder.env, before));
        // Slots of functions called in a branch are not used after it.
        let [accept, reject] = match (accepted, rejected) {
            (Flow::Falls, Flow::Falls) => self.builder.join((accept, accept_env), (reject, reject_env)),
            (_, Flow::Falls) => {
                self.builder.env = reject_env;
                [accept, reject]
            }
            _ => {
                self.builder.env = accept_env;
                [accept, reject]
            }
        };
        self.builder.push_node(Node::If { condition, accept: accept.nodes, reject: reject.nodes });
        Ok(match (accepted, rejected) {
            (Flow::Falls, _) | (_, Flow::Falls) => Flow::Falls,
            (a, b) if a == b => a,
            _ => Flow::Ends,
        })
    }

    /// A `switch` as a chain of branches.
    fn switch(
        &mut self,
        context: &mut Context<'m>,
        selector: Handle<Expression>,
        cases: &'m [naga::SwitchCase],
    ) -> Result<Flow, Stop> {
        // Values that share a body fall through empty cases to it.
        let mut bodies: Vec<(Vec<u32>, bool, &'m Block)> = Vec::new();
        let (mut values, mut default) = (Vec::new(), false);
        for case in cases {
            match case.value {
                naga::SwitchValue::I32(value) => values.push(value as u32),
                naga::SwitchValue::U32(value) => values.push(value),
                naga::SwitchValue::Default => default = true,
            }
            if case.fall_through && case.body.is_empty() {
                continue;
            }
            if case.fall_through {
                return Err(Error::Unknown { what: "a case that falls through".into() }.into());
            }
            bodies.push((std::mem::take(&mut values), std::mem::take(&mut default), &case.body));
        }
        let selector = self.scalar(context, selector)?;
        let depth = self.frames.len();
        if let Val::Const(selector) = selector {
            let found = bodies.iter().find(|(values, ..)| values.contains(&selector));
            let Some((_, _, body)) = found.or_else(|| bodies.iter().find(|(_, default, _)| *default)) else {
                return Ok(Flow::Falls);
            };
            if !breaks_inside(body) {
                self.frames.push(Frame::Chosen { regions: self.builder.regions.len() });
                let flow = self.block(context, body);
                self.frames.truncate(depth);
                return Ok(match flow? {
                    Flow::Break => Flow::Falls,
                    flow => flow,
                });
            }
            bodies = vec![(Vec::new(), true, *body)];
        }
        let stored: Rc<[usize]> =
            bodies.iter().flat_map(|(_, _, body)| self.stored(context, body)).collect::<Vec<_>>().into();
        let before = self.builder.env.clone();
        self.builder.open(RegionKind::Scope);
        self.frames.push(Frame::Switch { stored: stored.clone() });
        // The default comes last.
        bodies.sort_by_key(|(_, default, _)| *default);
        self.cases(context, selector, &bodies)?;
        self.frames.truncate(depth);
        let region = self.builder.close();
        self.builder.push_node(Node::Scope(region.nodes));
        self.builder.env = before;
        stored.iter().for_each(|&slot| self.builder.env[slot] = Slot::Home);
        Ok(Flow::Falls)
    }

    fn cases(
        &mut self,
        context: &mut Context<'m>,
        selector: Val,
        bodies: &[(Vec<u32>, bool, &'m Block)],
    ) -> Result<(), Stop> {
        let Some((&(ref values, default, body), rest)) = bodies.split_first() else {
            return Ok(());
        };
        let before = self.builder.env.clone();
        let Frame::Switch { stored } = &self.frames[self.frames.len() - 1] else { return Ok(()) };
        let stored = stored.clone();
        if default {
            if self.block(context, body)? == Flow::Falls {
                self.builder.flush(stored.iter().copied());
            }
            return Ok(());
        }
        let tests: Vec<Val> = values
            .iter()
            .map(|&value| self.builder.compute(crate::arithmetic::Code::IEq, &[selector, Val::Const(value)]))
            .collect();
        let condition = tests.into_iter().reduce(|a, b| self.builder.compute(crate::arithmetic::Code::Or, &[a, b]));
        self.builder.open(RegionKind::Branch);
        if self.block(context, body)? == Flow::Falls {
            self.builder.flush(stored.iter().copied());
        }
        let accept = self.builder.close();
        self.builder.env = before;
        self.builder.open(RegionKind::Branch);
        self.cases(context, selector, rest)?;
        self.builder.flush(stored.iter().copied());
        let reject = self.builder.close();
        let condition = condition.unwrap_or(Val::Const(0));
        self.builder.push_node(Node::If { condition, accept: accept.nodes, reject: reject.nodes });
        Ok(())
    }

    fn repeat(
        &mut self,
        context: &mut Context<'m>,
        body: &'m Block,
        continuing: &'m Block,
        break_if: Option<Handle<Expression>>,
    ) -> Result<Flow, Stop> {
        let (line, depth, known) = (self.line, self.frames.len(), self.hopeless.len());
        let this = (self.calls.clone(), std::ptr::from_ref(body) as usize);
        if !self.hopeless.contains(&this) {
            let mark = self.builder.mark();
            self.frames.push(Frame::Unrolled { regions: self.builder.regions.len() });
            let unrolled = self.unroll(context, &mark, (body, continuing, break_if));
            self.frames.truncate(depth);
            match unrolled {
                Err(Stop::Unrollable) => {}
                done => {
                    self.hopeless.truncate(known);
                    return done;
                }
            }
            self.builder.undo(&mark);
            self.line = line;
        }
        let mut stored = self.stored(context, body);
        stored.extend(self.stored(context, continuing));
        stored.sort_unstable();
        stored.dedup();
        let stored: Rc<[usize]> = stored.into();
        self.builder.settle(&stored);
        let before = self.builder.env.clone();
        self.builder.open(RegionKind::Loop);
        self.frames.push(Frame::Loop { stored: stored.clone() });
        let continues = has_continue(body);
        let flow = self.block(context, body)?;
        let body = if continues {
            if flow == Flow::Falls {
                self.builder.flush(stored.iter().copied());
            }
            // Lanes that continue early do not have the values that were computed after that.
            self.builder.env.clone_from(&before);
            self.builder.split()
        } else {
            Vec::new()
        };
        let mut break_val = None;
        if flow == Flow::Falls || continues {
            self.block(context, continuing)?;
            break_val = break_if.map(|handle| self.scalar(context, handle)).transpose()?;
            self.builder.flush(stored.iter().copied());
        }
        self.frames.truncate(depth);
        let rest = self.builder.close().nodes;
        let (body, continuing) = if continues { (body, rest) } else { (rest, Vec::new()) };
        let id = self.loops;
        self.loops += 1;
        self.builder.push_node(Node::Loop { body, continuing, break_if: break_val, line, id });
        self.builder.env = before;
        // With less that is constant than now it cannot be unrolled either, nor can the loops in it.
        if !self.frames.iter().any(|frame| matches!(frame, Frame::Unrolled { .. })) {
            self.hopeless.truncate(known);
        } else if !self.hopeless.contains(&this) {
            self.hopeless.push(this);
        }
        Ok(Flow::Falls)
    }

    fn unroll(
        &mut self,
        context: &mut Context<'m>,
        mark: &Mark,
        (body, continuing, break_if): (&'m Block, &'m Block, Option<Handle<Expression>>),
    ) -> Result<Flow, Stop> {
        let known = self.hopeless.len();
        for _ in 0..MOST_ITERATIONS {
            self.hopeless.truncate(known);
            match self.block(context, body)? {
                Flow::Falls | Flow::Continue => {}
                Flow::Break => return Ok(Flow::Falls),
                flow @ (Flow::Return | Flow::Ends) => return Ok(flow),
            }
            self.builder.count_iteration();
            self.block(context, continuing)?;
            match break_if.map(|handle| self.scalar(context, handle)).transpose()? {
                None | Some(Val::Const(0)) => {}
                Some(Val::Const(_)) => return Ok(Flow::Falls),
                Some(Val::Reg(_)) => return Err(Stop::Unrollable),
            }
            if self.builder.emitted - mark.emitted > MOST_OPERATIONS {
                return Err(Stop::Unrollable);
            }
        }
        Err(Stop::Unrollable)
    }

    /// A `break` or a `continue`.
    fn leave_loop(&mut self, flow: Flow) -> Result<Flow, Stop> {
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Unrolled { regions } | Frame::Chosen { regions } => {
                    if matches!(frame, Frame::Chosen { .. }) && flow == Flow::Continue {
                        continue;
                    }
                    // Inside of a branch or a loop the condition is not constant.
                    return match self.builder.regions.len() > *regions {
                        true if matches!(frame, Frame::Chosen { .. }) => {
                            Err(Error::Unknown { what: "a break inside of a constant switch".into() }.into())
                        }
                        true => Err(Stop::Unrollable),
                        false => Ok(flow),
                    };
                }
                Frame::Switch { .. } if flow == Flow::Continue => {}
                Frame::Switch { stored } => {
                    let stored = stored.clone();
                    self.builder.flush(stored.iter().copied());
                    self.builder.push_node(Node::Leave(1));
                    return Ok(Flow::Break);
                }
                Frame::Loop { stored } => {
                    let stored = stored.clone();
                    self.builder.flush(stored.iter().copied());
                    self.builder.push_node(if flow == Flow::Break { Node::Break } else { Node::Continue });
                    return Ok(flow);
                }
                Frame::Function { .. } => break,
            }
        }
        Err(Error::Unknown { what: "a break outside of a loop".into() }.into())
    }

    fn leave_function(&mut self, context: &mut Context<'m>, value: Option<Value>) -> Result<Flow, Stop> {
        let mut scopes = 1;
        for frame in self.frames.iter().rev() {
            match frame {
                Frame::Switch { .. } => scopes += 1,
                Frame::Function { handle, regions, scope } => {
                    let (handle, regions) = (*handle, *regions);
                    match (handle, scope.clone()) {
                        (None, _) => self.builder.push_node(Node::Return),
                        (Some(_), Some(scope)) => {
                            let scalars = value.map(Value::scalars).transpose()?.unwrap_or_default();
                            for (&slot, val) in scope.result.iter().zip(scalars) {
                                self.builder.env[slot] = Slot::Dirty(val);
                            }
                            self.builder.flush(scope.stored.iter().copied());
                            self.builder.push_node(Node::Leave(scopes));
                        }
                        (Some(handle), None) if self.builder.regions.len() > regions => {
                            return Err(Stop::Returns(handle));
                        }
                        (Some(_), None) => context.result = value,
                    }
                    return Ok(Flow::Return);
                }
                _ => {}
            }
        }
        Err(Error::Unknown { what: "a return outside of a function".into() }.into())
    }

    fn store(&mut self, place: &Place, value: &[Val]) -> Result<()> {
        match place {
            Place::Slots { first, index: None, .. } => {
                for (slot, &val) in (*first..).zip(value) {
                    self.builder.env[slot] = Slot::Dirty(val);
                }
            }
            Place::Slots { first, layout, index: Some(index) } => {
                let count = layout.scalars();
                let all: Vec<usize> = (index.base..index.base + (index.count * index.stride) as usize).collect();
                self.builder.settle(&all);
                let (homes, line) = (self.builder.homes[index.base], self.line);
                for (i, &from) in (0..count).zip(value) {
                    let offset = (first - index.base) as u32 + i;
                    let (count, stride, index) = (index.count, index.stride, index.index);
                    self.builder.push(Op::Put { homes, count, stride, offset, index, from, line });
                }
            }
            Place::Memory { variable, word, index, layout } => {
                let mut at = 0;
                for (first, words) in layout.runs() {
                    let mut from = [Val::Const(0); 4];
                    for (to, &val) in from.iter_mut().zip(&value[at..at + words as usize]) {
                        *to = val;
                    }
                    at += words as usize;
                    let mut access = self.access(*variable, word + first, *index, words);
                    access.atomic = matches!(**layout, Layout::Atomic(_));
                    self.builder.push(Op::Store { access, from });
                }
            }
        }
        Ok(())
    }

    fn access(&self, variable: usize, offset: u32, index: Option<expression::Index>, words: u32) -> Access {
        let (index, stride, count) = match index {
            Some(index) => (index.index, index.stride, index.count),
            None => (Val::Const(0), 0, Count::Fixed(1)),
        };
        // Addresses of workgroup memory have 32 bits and wrap, so that constants go into the instruction. Those of other memory do not.
        let (index, add) = match self.variables[variable].space {
            Space::Workgroup => self.builder.offset(index),
            _ => (index, 0),
        };
        Access { variable, index, add, stride, count, offset, words, atomic: false, line: self.line }
    }

    fn load(&mut self, place: &Place) -> Result<Value> {
        Ok(match place {
            Place::Slots { first, layout, index: None } => {
                let scalars =
                    (*first..*first + layout.scalars() as usize).map(|slot| self.builder.read(slot)).collect();
                Value::new(layout.clone(), scalars)
            }
            Place::Slots { first, layout, index: Some(index) } => {
                let all = index.base..index.base + (index.count * index.stride) as usize;
                self.builder.flush(all);
                let (homes, line) = (self.builder.homes[index.base], self.line);
                let scalars = (0..layout.scalars()).map(|i| {
                    let to = self.builder.consecutive(1);
                    let offset = (first - index.base) as u32 + i;
                    let (count, stride, index) = (index.count, index.stride, index.index);
                    self.builder.push(Op::Pick { to, homes, count, stride, offset, index, line });
                    Val::Reg(to)
                });
                Value::new(layout.clone(), scalars.collect())
            }
            Place::Memory { variable, word, index, layout } => {
                if matches!(**layout, Layout::Array { count: None, .. }) {
                    return Err(Error::Unknown { what: "a load of a whole runtime-sized array".into() });
                }
                few_scalars(layout)?;
                let uniform = self.variables[*variable].space == Space::Uniform;
                let mut scalars = Vec::new();
                for (first, words) in layout.runs() {
                    let mut access = self.access(*variable, word + first, *index, words);
                    access.atomic = matches!(**layout, Layout::Atomic(_));
                    let to = self.builder.load(access, uniform);
                    scalars.extend((0..words).map(|i| Val::Reg(to + i)));
                }
                let layout = match **layout {
                    Layout::Atomic(kind) => Rc::new(Layout::Scalar(kind)),
                    _ => layout.clone(),
                };
                Value::new(layout, scalars)
            }
        })
    }

    fn atomic(
        &mut self,
        context: &mut Context<'m>,
        pointer: Handle<Expression>,
        fun: &naga::AtomicFunction,
        value: Handle<Expression>,
        result: Option<Handle<Expression>>,
    ) -> Result<(), Stop> {
        use crate::arithmetic::Code;
        let value = self.scalar(context, value)?;
        let Value::Pointer(Place::Memory { variable, word, index, layout }) = self.value(context, pointer)? else {
            return Err(Error::Unknown { what: "an atomic operation outside of memory".into() }.into());
        };
        let signed = layout.kind() == Some(Kind::Signed);
        let code = match fun {
            naga::AtomicFunction::Add => AtomicCode::Compute(Code::IAdd),
            naga::AtomicFunction::Subtract => AtomicCode::Compute(Code::ISub),
            naga::AtomicFunction::And => AtomicCode::Compute(Code::And),
            naga::AtomicFunction::ExclusiveOr => AtomicCode::Compute(Code::Xor),
            naga::AtomicFunction::InclusiveOr => AtomicCode::Compute(Code::Or),
            naga::AtomicFunction::Min => AtomicCode::Compute(if signed { Code::SMin } else { Code::UMin }),
            naga::AtomicFunction::Max => AtomicCode::Compute(if signed { Code::SMax } else { Code::UMax }),
            naga::AtomicFunction::Exchange { compare: None } => AtomicCode::Exchange,
            naga::AtomicFunction::Exchange { .. } => {
                return Err(Error::Unknown { what: "atomicCompareExchangeWeak".into() }.into());
            }
        };
        let mut access = self.access(variable, word, index, 1);
        access.atomic = true;
        let to = result.map(|_| self.builder.consecutive(1));
        self.builder.push(Op::Atomic { access, code, value, to });
        if let (Some(result), Some(to)) = (result, to) {
            let kind = if signed { Kind::Signed } else { Kind::Unsigned };
            context.values.insert(result, Value::new(Rc::new(Layout::Scalar(kind)), vec![Val::Reg(to)]));
        }
        Ok(())
    }

    /// Slots that a block of a function stores to.
    fn stored(&self, context: &Context<'m>, block: &Block) -> Vec<usize> {
        let mut stored = Vec::new();
        self.each_stored(context, block, &mut stored);
        stored
    }

    fn each_stored(&self, context: &Context<'m>, block: &Block, to: &mut Vec<usize>) {
        for statement in block {
            match statement {
                Statement::Block(block) => self.each_stored(context, block, to),
                Statement::If { accept, reject, .. } => {
                    self.each_stored(context, accept, to);
                    self.each_stored(context, reject, to);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| self.each_stored(context, &case.body, to));
                }
                Statement::Loop { body, continuing, .. } => {
                    self.each_stored(context, body, to);
                    self.each_stored(context, continuing, to);
                }
                Statement::Store { pointer, .. } => self.roots(context, *pointer, to),
                Statement::Call { arguments, .. } => {
                    arguments.iter().for_each(|&argument| self.roots(context, argument, to));
                    to.extend(&self.private);
                }
                _ => {}
            }
        }
    }

    /// The slots of the variable that a pointer points into. None for other values.
    fn roots(&self, context: &Context<'m>, expression: Handle<Expression>, to: &mut Vec<usize>) {
        match context.function.expressions[expression] {
            Expression::LocalVariable(local) => {
                if let Some((first, layout)) = context.locals.get(&local) {
                    to.extend(*first..*first + layout.scalars() as usize);
                }
            }
            Expression::GlobalVariable(global) => {
                if let Some(Root::Slots(first, layout)) = self.globals.get(&global) {
                    to.extend(*first..*first + layout.scalars() as usize);
                }
            }
            Expression::FunctionArgument(index) => to.extend(context.arguments[index as usize].slots()),
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.roots(context, base, to),
            _ => {}
        }
    }
}

/// Whether a block of a `switch` breaks out of it inside of control flow.
fn breaks_inside(block: &Block) -> bool {
    fn breaks(block: &Block) -> bool {
        block.iter().any(|statement| match statement {
            Statement::Break => true,
            Statement::Block(block) => breaks(block),
            _ => false,
        }) || breaks_inside(block)
    }
    block.iter().any(|statement| match statement {
        Statement::Block(block) => breaks_inside(block),
        Statement::If { accept, reject, .. } => breaks(accept) || breaks(reject),
        _ => false,
    })
}

/// Whether a block continues the loop that it is the body of.
fn has_continue(block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::Continue => true,
        Statement::Block(block) => has_continue(block),
        Statement::If { accept, reject, .. } => has_continue(accept) || has_continue(reject),
        Statement::Switch { cases, .. } => cases.iter().any(|case| has_continue(&case.body)),
        _ => false,
    })
}

/// Adds the pointers that a block of a function stores to, and the pointers that they are parts of.
fn add_targets(function: &Function, block: &Block, to: &mut HashSet<Handle<Expression>>) {
    for statement in block {
        match statement {
            Statement::Block(block) => add_targets(function, block, to),
            Statement::If { accept, reject, .. } => {
                add_targets(function, accept, to);
                add_targets(function, reject, to);
            }
            Statement::Switch { cases, .. } => cases.iter().for_each(|case| add_targets(function, &case.body, to)),
            Statement::Loop { body, continuing, .. } => {
                add_targets(function, body, to);
                add_targets(function, continuing, to);
            }
            Statement::Store { pointer, .. } | Statement::Atomic { pointer, .. } => {
                let mut pointer = *pointer;
                to.insert(pointer);
                while let Expression::Access { base, .. } | Expression::AccessIndex { base, .. } =
                    function.expressions[pointer]
                {
                    pointer = base;
                    to.insert(pointer);
                }
            }
            _ => {}
        }
    }
}
