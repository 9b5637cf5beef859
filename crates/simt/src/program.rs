//! Properties of a compiled program: the operations that matter, the registers that are the same for all lanes, the operations that
//! addresses and control flow need, costs, and live registers.

use crate::arithmetic::{Code, Cost};
use crate::code::{Node, Op, Program, Register, Segment, Space, Val, conditions, each_segment, input};
use crate::repetition::{Repetition, repetitions};

/// Operations of a segment, of each kind. `vector` operations differ between lanes, `scalar` ones are the same for all lanes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct SegmentCost {
    pub(crate) vector: [u32; 6],
    pub(crate) scalar: [u32; 6],
    pub(crate) iterations: u32,
    /// Whether it loads from storage or textures.
    pub(crate) waits: bool,
}

/// A program with what is known of it before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Analysed {
    pub(crate) program: Program,
    /// Whether a register differs between lanes.
    pub(crate) varying: Vec<bool>,
    /// Whether addresses or control flow depend on a register.
    pub(crate) needed: Vec<bool>,
    /// Whether addresses or control flow depend on the contents of a variable.
    pub(crate) contents_needed: Vec<bool>,
    /// Whether the program writes a variable.
    pub(crate) stored: Vec<bool>,
    pub(crate) costs: Vec<SegmentCost>,
    /// Operations of each segment that the counts need.
    pub(crate) index_ops: Vec<Vec<u32>>,
    /// Most registers that are alive at once: of each lane, and of the whole subgroup.
    pub(crate) live: [u32; 2],
    /// The loops that repeat themselves.
    pub(crate) repetitions: Vec<Option<Repetition>>,
}

/// Removes operations without effect, and numbers the segments.
pub(crate) fn optimise(mut program: Program) -> Program {
    let used = used(&program, &|op| {
        matches!(op, Op::Store { .. } | Op::Atomic { .. } | Op::TexelStore { .. } | Op::Check { .. })
    });
    let mut id = 0;
    program.nodes = kept(std::mem::take(&mut program.nodes), &used, &mut id);
    program.segments = id;
    program
}

/// Whether an operation assigns a register of a set.
fn assigns(op: &Op, set: &[bool]) -> bool {
    match op {
        Op::Move { home, .. } => set[*home as usize],
        Op::Put { homes, count, stride, .. } => (*homes..homes + count * stride).any(|home| set[home as usize]),
        op => {
            let (first, count) = op.results();
            (first..first + count).any(|register| set[register as usize])
        }
    }
}

/// Registers that matter: those of conditions, and those that operations with an effect, or that assign such registers, read.
fn used(program: &Program, effect: &dyn Fn(&Op) -> bool) -> Vec<bool> {
    let mut used = vec![false; program.registers as usize];
    conditions(&program.nodes, &mut |val| mark(&mut used, val));
    closure(program, &mut used, &|op, used| effect(op) || assigns(op, used));
    used
}

fn mark(set: &mut [bool], val: Val) {
    if let Val::Reg(register) = val {
        set[register as usize] = true;
    }
}

/// Adds the operands of the operations that matter, until nothing changes.
fn closure(program: &Program, set: &mut [bool], matters: &dyn Fn(&Op, &[bool]) -> bool) {
    let mut segments = Vec::new();
    each_segment(&program.nodes, &mut |segment| segments.push(segment));
    loop {
        let before = set.iter().filter(|&&there| there).count();
        for segment in segments.iter().rev() {
            for op in segment.ops.iter().rev().filter(|op| !matches!(op, Op::Check { .. })) {
                if matters(op, set) {
                    op.operands(&mut |val| mark(set, val));
                    match op {
                        Op::Copy { home, .. } => set[*home as usize] = true,
                        Op::Pick { homes, count, stride, .. } => {
                            (*homes..homes + count * stride).for_each(|home| set[home as usize] = true);
                        }
                        _ => {}
                    }
                }
            }
        }
        if set.iter().filter(|&&there| there).count() == before {
            // Checks have operands, but nothing depends on them.
            for op in segments.iter().flat_map(|segment| &segment.ops).filter(|op| matches!(op, Op::Check { .. })) {
                op.operands(&mut |val| mark(set, val));
            }
            if set.iter().filter(|&&there| there).count() == before {
                return;
            }
        }
    }
}

fn kept(nodes: Vec<Node>, used: &[bool], id: &mut usize) -> Vec<Node> {
    let mut result = Vec::new();
    for node in nodes {
        result.push(match node {
            Node::Segment(mut segment) => {
                for op in &mut segment.ops {
                    if let Op::Atomic { to, .. } = op {
                        *to = to.filter(|&to| used[to as usize]);
                    }
                }
                segment.ops.retain(|op| {
                    let effect =
                        matches!(op, Op::Store { .. } | Op::Atomic { .. } | Op::TexelStore { .. } | Op::Check { .. });
                    effect || assigns(op, used)
                });
                if segment.ops.is_empty() && segment.iterations == 0 {
                    continue;
                }
                segment.id = *id;
                *id += 1;
                Node::Segment(segment)
            }
            Node::If { condition, accept, reject } => {
                let (accept, reject) = (kept(accept, used, id), kept(reject, used, id));
                if accept.is_empty() && reject.is_empty() {
                    continue;
                }
                Node::If { condition, accept, reject }
            }
            Node::Loop { body, continuing, break_if, line, id: loop_id } => {
                let (body, continuing) = (kept(body, used, id), kept(continuing, used, id));
                Node::Loop { body, continuing, break_if, line, id: loop_id }
            }
            Node::Scope(nodes) => Node::Scope(kept(nodes, used, id)),
            other => other,
        });
    }
    result
}

/// Analyses a program.
pub(crate) fn analyse(program: Program) -> Analysed {
    let mut segments = Vec::new();
    each_segment(&program.nodes, &mut |segment| segments.push(segment));
    let mut stored = vec![false; program.variables.len()];
    for op in segments.iter().flat_map(|segment| &segment.ops) {
        match op {
            Op::Store { access, .. } | Op::Atomic { access, .. } => stored[access.variable] = true,
            Op::TexelStore { variable, .. } => stored[*variable] = true,
            _ => {}
        }
    }
    let varying = varying(&program);
    let (needed, contents_needed) = needed(&program, &segments);
    let joined = joined_products(&program, &segments);
    let mut costs = vec![SegmentCost::default(); program.segments];
    let mut index_ops = vec![Vec::new(); program.segments];
    for segment in &segments {
        costs[segment.id] = cost(&program, segment, &varying, &joined);
        let wanted = |op: &Op| match op {
            Op::Check { .. } | Op::Load { .. } | Op::Store { .. } | Op::Atomic { .. } => true,
            Op::TexelLoad { .. } | Op::TexelStore { .. } => true,
            Op::Pick { .. } | Op::Put { .. } => true,
            op => assigns(op, &needed),
        };
        let ops = (0..).zip(&segment.ops).filter(|(_, op)| wanted(op)).map(|(index, _)| index);
        index_ops[segment.id] = ops.collect();
    }
    let live = live_registers(&program, &varying);
    let repetitions = repetitions(&program, &varying, &needed, &stored);
    Analysed { varying, needed, contents_needed, stored, costs, index_ops, live, repetitions, program }
}

/// The registers that differ between lanes: those computed from lane indices, and homes that lanes write at different times.
fn varying(program: &Program) -> Vec<bool> {
    let mut varying = vec![false; program.registers as usize];
    varying[input::FIRST_VARYING as usize..input::COUNT as usize].fill(true);
    let mut divergent = Divergent { loops: vec![false; program.loops], scopes: Vec::new(), next_scope: 0 };
    loop {
        let before = (varying.clone(), divergent.clone());
        divergent.next_scope = 0;
        spread(&program.nodes, false, &mut varying, &mut divergent, &mut Vec::new());
        divergent.next_scope = 0;
        if before.0 == varying && before.1.loops == divergent.loops && before.1.scopes == divergent.scopes {
            return varying;
        }
    }
}

/// Loops and scopes that lanes leave at different times.
#[derive(Debug, Clone)]
struct Divergent {
    loops: Vec<bool>,
    scopes: Vec<bool>,
    next_scope: usize,
}

#[derive(Debug, Clone, Copy)]
enum Enclosing {
    Loop(usize),
    Scope(usize),
}

fn is(varying: &[bool], val: Val) -> bool {
    matches!(val, Val::Reg(register) if varying[register as usize])
}

fn spread(
    nodes: &[Node],
    control: bool,
    varying: &mut [bool],
    divergent: &mut Divergent,
    enclosing: &mut Vec<Enclosing>,
) {
    for node in nodes {
        match node {
            Node::Segment(segment) => segment.ops.iter().for_each(|op| spread_op(op, control, varying)),
            Node::If { condition, accept, reject } => {
                let control = control || is(varying, *condition);
                spread(accept, control, varying, divergent, enclosing);
                spread(reject, control, varying, divergent, enclosing);
            }
            Node::Loop { body, continuing, break_if, id, .. } => {
                if break_if.is_some_and(|val| is(varying, val)) {
                    divergent.loops[*id] = true;
                }
                let control = control || divergent.loops[*id];
                enclosing.push(Enclosing::Loop(*id));
                spread(body, control, varying, divergent, enclosing);
                spread(continuing, control, varying, divergent, enclosing);
                enclosing.pop();
            }
            Node::Scope(nodes) => {
                let id = divergent.next_scope;
                divergent.next_scope += 1;
                if divergent.scopes.len() <= id {
                    divergent.scopes.push(false);
                }
                let control = control || divergent.scopes[id];
                enclosing.push(Enclosing::Scope(id));
                spread(nodes, control, varying, divergent, enclosing);
                enclosing.pop();
            }
            Node::Break | Node::Continue if control => {
                let id = enclosing.iter().rev().find_map(|e| match e {
                    Enclosing::Loop(id) => Some(*id),
                    Enclosing::Scope(_) => None,
                });
                id.iter().for_each(|&id| divergent.loops[id] = true);
            }
            Node::Leave(levels) if control => {
                // Lanes also leave the loops between here and the end of the scope.
                let mut left = *levels;
                for e in enclosing.iter().rev() {
                    match e {
                        Enclosing::Loop(id) => divergent.loops[*id] = true,
                        Enclosing::Scope(id) => {
                            divergent.scopes[*id] = true;
                            left -= 1;
                            if left == 0 {
                                break;
                            }
                        }
                    }
                }
            }
            Node::Break | Node::Continue | Node::Leave(_) | Node::Return | Node::Barrier { .. } => {}
        }
    }
}

fn spread_op(op: &Op, control: bool, varying: &mut [bool]) {
    let result = match op {
        Op::Compute { from, .. } => from.iter().any(|&val| is(varying, val)),
        Op::Copy { home, .. } => varying[*home as usize],
        Op::Load { access, .. } => is(varying, access.index),
        Op::TexelLoad { at, .. } => at.iter().any(|&val| is(varying, val)),
        Op::Pick { homes, count, stride, index, .. } => {
            is(varying, *index) || (*homes..homes + count * stride).any(|home| varying[home as usize])
        }
        Op::Atomic { .. } => true,
        Op::Move { home, from } => {
            varying[*home as usize] |= control || is(varying, *from);
            return;
        }
        Op::Put { homes, count, stride, index, from, .. } => {
            if control || is(varying, *index) || is(varying, *from) {
                (*homes..homes + count * stride).for_each(|home| varying[home as usize] = true);
            }
            return;
        }
        _ => return,
    };
    if result {
        let (first, count) = op.results();
        (first..first + count).for_each(|register| varying[register as usize] = true);
    }
}

/// The registers, and the variables, that addresses and control flow depend on.
fn needed(program: &Program, segments: &[&Segment]) -> (Vec<bool>, Vec<bool>) {
    let mut needed = vec![false; program.registers as usize];
    let mut contents = vec![false; program.variables.len()];
    conditions(&program.nodes, &mut |val| mark(&mut needed, val));
    for op in segments.iter().flat_map(|segment| &segment.ops) {
        match op {
            Op::Load { access, .. } | Op::Store { access, .. } | Op::Atomic { access, .. } => {
                mark(&mut needed, access.index);
            }
            Op::Check { index, .. } | Op::Pick { index, .. } | Op::Put { index, .. } => mark(&mut needed, *index),
            Op::TexelLoad { at, .. } | Op::TexelStore { at, .. } => at.iter().for_each(|&val| mark(&mut needed, val)),
            _ => {}
        }
    }
    loop {
        let before = contents.clone();
        // A store matters only if what it stores is needed; its address is marked above.
        let of_contents = before.clone();
        closure(program, &mut needed, &|op, set| match op {
            Op::Store { access, .. } | Op::Atomic { access, .. } => of_contents[access.variable],
            Op::TexelStore { variable, .. } => of_contents[*variable],
            op => assigns(op, set),
        });
        for op in segments.iter().flat_map(|segment| &segment.ops) {
            match op {
                Op::Load { access, .. } | Op::Atomic { access, .. } if assigns(op, &needed) => {
                    contents[access.variable] = true;
                }
                Op::TexelLoad { variable, .. } if assigns(op, &needed) => contents[*variable] = true,
                _ => {}
            }
        }
        if contents == before {
            return (needed, contents);
        }
    }
}

/// Products of floats that only one sum uses, and nothing else. Compilers make a multiply-add of both, which WGSL allows.
fn joined_products(program: &Program, segments: &[&Segment]) -> Vec<bool> {
    let mut uses = vec![0_u32; program.registers as usize];
    let mut product = vec![false; program.registers as usize];
    let mut count = |val: Val| {
        if let Val::Reg(register) = val {
            uses[register as usize] += 1;
        }
    };
    conditions(&program.nodes, &mut count);
    for op in segments.iter().flat_map(|segment| &segment.ops) {
        op.operands(&mut count);
        if let Op::Compute { code: Code::FMul, to, .. } = op {
            product[*to as usize] = true;
        }
    }
    let mut joined = vec![false; program.registers as usize];
    for op in segments.iter().flat_map(|segment| &segment.ops) {
        if let Op::Compute { code: Code::FAdd | Code::FSub, from: [a, b, _], .. } = op {
            let product = |val: &&Val| matches!(val, Val::Reg(r) if product[*r as usize] && uses[*r as usize] == 1);
            if let Some(Val::Reg(register)) = [a, b].into_iter().find(product) {
                joined[*register as usize] = true;
            }
        }
    }
    joined
}

fn cost(program: &Program, segment: &Segment, varying: &[bool], joined: &[bool]) -> SegmentCost {
    let mut cost = SegmentCost { iterations: segment.iterations, ..SegmentCost::default() };
    for op in &segment.ops {
        cost.waits |= match op {
            Op::Load { access, .. } => matches!(program.variables[access.variable].space, Space::Storage { .. }),
            Op::TexelLoad { .. } => true,
            _ => false,
        };
        if let Op::Compute { code, to, from } = op {
            let counts = if varying[*to as usize] { &mut cost.vector } else { &mut cost.scalar };
            if *code == Code::FMul && joined[*to as usize] {
                continue;
            }
            let of_product = |val: &Val| matches!(val, Val::Reg(register) if joined[*register as usize]);
            if matches!(code, Code::FAdd | Code::FSub) && from[..2].iter().any(of_product) {
                counts[0] += 1;
                continue;
            }
            if code.cost() == Cost::Division {
                let quotient = if *code == Code::URem { Code::UDiv } else { Code::SDiv };
                let has_quotient = matches!(code, Code::URem | Code::SRem)
                    && segment
                        .ops
                        .iter()
                        .any(|op| matches!(op, Op::Compute { code, from: of, .. } if *code == quotient && of == from));
                // Compilers divide by a constant with a product, a shift and a sum, and make a remainder of its quotient.
                if has_quotient || matches!(from[1], Val::Const(_)) {
                    counts[3] += 1;
                    counts[2] += if has_quotient { 1 } else { 2 };
                    continue;
                }
            }
            let kind = match code.cost() {
                Cost::MultiplyAdd => 0,
                Cost::Float => 1,
                Cost::Integer => 2,
                Cost::Product => 3,
                Cost::Division => 4,
                Cost::Special => 5,
            };
            counts[kind] += 1;
        }
    }
    cost
}

/// Registers that are alive, and the most at once.
struct Liveness<'v> {
    varying: &'v [bool],
    most: [u32; 2],
    /// Live registers after each enclosing loop and at its `continuing`, and after each scope.
    loops: Vec<(Vec<bool>, Vec<bool>)>,
    scopes: Vec<Vec<bool>>,
    /// Registers that are alive at the start of the body of each loop, as far as is known.
    heads: Vec<Vec<Register>>,
    changed: bool,
}

fn live_registers(program: &Program, varying: &[bool]) -> [u32; 2] {
    let heads = vec![Vec::new(); program.loops];
    let mut liveness = Liveness { varying, most: [0; 2], loops: Vec::new(), scopes: Vec::new(), heads, changed: true };
    // The next pass knows what the next iterations of loops read.
    while std::mem::take(&mut liveness.changed) {
        liveness.nodes(&program.nodes, &mut vec![false; varying.len()]);
    }
    liveness.most
}

impl Liveness<'_> {
    fn nodes(&mut self, nodes: &[Node], live: &mut Vec<bool>) {
        for node in nodes.iter().rev() {
            match node {
                Node::Segment(segment) => self.segment(segment, live),
                Node::If { condition, accept, reject } => {
                    let mut other = live.clone();
                    self.nodes(accept, live);
                    self.nodes(reject, &mut other);
                    unite(live, &other);
                    mark(live, *condition);
                }
                Node::Loop { body, continuing, break_if, id, .. } => {
                    let after = live.clone();
                    self.heads[*id].iter().for_each(|&register| live[register as usize] = true);
                    break_if.iter().for_each(|&val| mark(live, val));
                    self.loops.push((after.clone(), Vec::new()));
                    self.nodes(continuing, live);
                    if let Some((_, at_continuing)) = self.loops.last_mut() {
                        at_continuing.clone_from(live);
                    }
                    self.nodes(body, live);
                    self.loops.pop();
                    let alive = (0..).zip(live.iter()).filter(|(_, alive)| **alive).map(|(register, _)| register);
                    let head: Vec<Register> = alive.collect();
                    if head != self.heads[*id] {
                        self.heads[*id] = head;
                        self.changed = true;
                    }
                    unite(live, &after);
                }
                Node::Scope(nodes) => {
                    self.scopes.push(live.clone());
                    self.nodes(nodes, live);
                    self.scopes.pop();
                }
                Node::Break => {
                    if let Some((after, _)) = self.loops.last() {
                        live.clone_from(after);
                    }
                }
                Node::Continue => {
                    if let Some((_, continuing)) = self.loops.last() {
                        live.clone_from(continuing);
                    }
                }
                Node::Leave(levels) => {
                    if let Some(after) = self.scopes.len().checked_sub(*levels) {
                        live.clone_from(&self.scopes[after]);
                    }
                }
                Node::Return => live.fill(false),
                Node::Barrier { .. } => {}
            }
        }
    }

    fn segment(&mut self, segment: &Segment, live: &mut [bool]) {
        let mut now = [0_u32; 2];
        for (register, _) in live.iter().enumerate().filter(|(_, alive)| **alive) {
            now[usize::from(!self.varying[register])] += 1;
        }
        let class = |register: Register| usize::from(!self.varying[register as usize]);
        self.most = [self.most[0].max(now[0]), self.most[1].max(now[1])];
        for op in segment.ops.iter().rev() {
            let (first, count) = match op {
                Op::Move { home, .. } => (*home, 1),
                op => op.results(),
            };
            for register in first..first + count {
                if std::mem::take(&mut live[register as usize]) {
                    now[class(register)] -= 1;
                }
            }
            let mut add = |register: Register, live: &mut [bool]| {
                if !std::mem::replace(&mut live[register as usize], true) {
                    now[class(register)] += 1;
                }
            };
            op.operands(&mut |val| {
                if let Val::Reg(register) = val
                    && register >= input::COUNT
                {
                    add(register, live);
                }
            });
            match op {
                Op::Copy { home, .. } => add(*home, live),
                Op::Pick { homes, count, stride, .. } | Op::Put { homes, count, stride, .. } => {
                    (*homes..homes + count * stride).for_each(|home| add(home, live));
                }
                _ => {}
            }
            self.most = [self.most[0].max(now[0]), self.most[1].max(now[1])];
        }
    }
}

fn unite(live: &mut [bool], other: &[bool]) {
    live.iter_mut().zip(other).for_each(|(a, &b)| *a |= b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shader;
    use serde_json::Value;

    /// Vector instructions of the loop at a line, with those of the loops inside: multiply-adds, and others.
    fn instructions_of_loop(analysed: &Analysed, line: u32) -> Option<[u32; 2]> {
        fn find(nodes: &[Node], line: u32) -> Option<&Node> {
            nodes.iter().find_map(|node| match node {
                Node::Loop { line: here, .. } if *here == line => Some(node),
                Node::Loop { body, continuing, .. } => find(body, line).or_else(|| find(continuing, line)),
                Node::If { accept, reject, .. } => find(accept, line).or_else(|| find(reject, line)),
                Node::Scope(nodes) => find(nodes, line),
                _ => None,
            })
        }
        let found = find(&analysed.program.nodes, line)?;
        let mut sum = [0; 2];
        each_segment(std::slice::from_ref(found), &mut |segment| {
            let [multiply_adds, floats, integers, products, divisions, _] = analysed.costs[segment.id].vector;
            sum[0] += multiply_adds;
            sum[1] += floats + integers + products + 20 * divisions;
        });
        Some(sum)
    }

    /// The main loops of conv1d's kernels have the instructions that an AMD compiler makes of them (Mesa's ACO for RDNA 2): the same
    /// multiply-adds, and as many vector instructions within 30 %. So have the registers, within 14.
    #[test]
    fn main_loops_have_the_instructions_of_a_compiler() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/isa");
        let read = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).expect("the file is there");
        let known: Value = serde_json::from_str(&read("isa.json")).expect("it is JSON");
        let mut compared = 0;
        for shader in known["shaders"].as_array().expect("a list") {
            let name = shader["name"].as_str().expect("a name");
            let compiled = Shader::new(&read(shader["file"].as_str().expect("a file"))).expect("it is known");
            let machine = &shader["families"]["navi21"];
            let number = |value: &Value| value.as_u64().expect("a number") as f64;
            let (live, registers) = (f64::from(compiled.analysed.live[0]), number(&machine["vgprs"]));
            assert!(registers - live <= 14.0 && live - registers <= 8.0, "{name}: {live} of {registers} registers");
            let Some(line) = shader["main_loop"]["line"].as_u64() else { continue };
            // Two loops are unrolled into the loop around them.
            let Some([multiply_adds, others]) = instructions_of_loop(&compiled.analysed, line as u32) else { continue };
            let [theirs, other] = [&machine["main_loop"]["fma"], &machine["main_loop"]["valu_other"]].map(number);
            assert_eq!(f64::from(multiply_adds), theirs, "{name}: multiply-adds");
            let ratio = f64::from(multiply_adds + others) / (theirs + other);
            assert!((0.7..1.3).contains(&ratio), "{name}: {ratio} times the vector instructions");
            compared += 1;
        }
        assert_eq!(compared, 11);
    }
}
