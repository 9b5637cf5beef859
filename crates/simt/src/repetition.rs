//! Loops whose iterations all do the same, except that addresses advance by a constant distance.
//!
//! The counts of such a loop repeat with a period of [`PERIOD`] iterations: sectors and lines depend on addresses modulo 32 words, banks
//! do not change when all lanes advance by the same distance, and nothing else differs. So a run may count one period and multiply.
//!
//! A value of a loop is *constant* if it is the same in all iterations, and *affine* if it advances by a constant that all lanes share.
//! A loop repeats itself if all its conditions but its own end are constant, and all its addresses are constant or affine. The classes
//! are found by assuming the best of each home and lowering it until nothing contradicts.

use crate::arithmetic::Code;
use crate::code::{Node, Op, Program, Register, Segment, Space, Val, conditions, each_segment};
use std::collections::HashMap;

/// Iterations after which the counts repeat: words of a line.
pub(crate) const PERIOD: u32 = 32;

/// A loop that repeats itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Repetition {
    /// The loop goes on while `counter < end`, or `counter <= end`.
    pub(crate) counter: Register,
    pub(crate) end: Val,
    pub(crate) inclusive: bool,
    pub(crate) signed: bool,
    /// Homes that advance.
    pub(crate) homes: Vec<Register>,
}

/// How a value changes from one iteration to the next. The order is from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Constant,
    Affine,
    Other,
}

/// The loops of a program that repeat themselves, by their indices.
pub(crate) fn repetitions(
    program: &Program,
    varying: &[bool],
    needed: &[bool],
    stored: &[bool],
) -> Vec<Option<Repetition>> {
    let mut found = vec![None; program.loops];
    visit(&program.nodes, &mut |id, body, continuing, break_if| {
        if break_if.is_none() {
            found[id] = Loop { program, varying, needed, stored, body, continuing }.repetition();
        }
    });
    found
}

type EachLoop<'n, 'f> = dyn FnMut(usize, &'n [Node], &'n [Node], Option<Val>) + 'f;

fn visit<'n>(nodes: &'n [Node], each: &mut EachLoop<'n, '_>) {
    for node in nodes {
        match node {
            Node::If { accept, reject, .. } => {
                visit(accept, each);
                visit(reject, each);
            }
            Node::Loop { body, continuing, break_if, id, .. } => {
                each(*id, body, continuing, *break_if);
                visit(body, each);
                visit(continuing, each);
            }
            Node::Scope(nodes) => visit(nodes, each),
            _ => {}
        }
    }
}

struct Loop<'p> {
    program: &'p Program,
    varying: &'p [bool],
    needed: &'p [bool],
    stored: &'p [bool],
    body: &'p [Node],
    continuing: &'p [Node],
}

/// The class of each home that the loop writes, and whether it keeps its value from one iteration to the next.
struct Home {
    class: Class,
    carried: bool,
}

impl<'p> Loop<'p> {
    fn repetition(&self) -> Option<Repetition> {
        let (condition, rest) = self.end()?;
        if leaves(rest, 0) || leaves(self.continuing, 0) {
            return None;
        }
        let mut ops: HashMap<Register, &Op> = HashMap::new();
        let mut moves: Vec<(Register, Val)> = Vec::new();
        let mut all: Vec<&Op> = Vec::new();
        for nodes in [self.body, self.continuing] {
            each_segment(nodes, &mut |segment: &Segment| {
                for op in &segment.ops {
                    all.push(op);
                    let (first, count) = op.results();
                    ops.extend((first..first + count).map(|register| (register, op)));
                    if let Op::Move { home, from } = op {
                        moves.push((*home, *from));
                    }
                }
            });
        }
        // Arrays in registers at indices that are not constant are not followed.
        if all.iter().any(|op| matches!(op, Op::Pick { .. } | Op::Put { .. } | Op::Atomic { .. })) {
            return None;
        }
        let mut homes: HashMap<Register, Home> = HashMap::new();
        for &(home, _) in moves.iter().filter(|(home, _)| self.needed[*home as usize]) {
            homes.entry(home).or_insert_with(|| {
                let carried = self.is_carried(home);
                Home { class: if carried { Class::Affine } else { Class::Constant }, carried }
            });
        }
        loop {
            let mut changed = false;
            for &(home, from) in &moves {
                let Some(known) = homes.get(&home) else { continue };
                let class = match known.carried {
                    // What is carried must advance by a constant of all lanes.
                    true if self.advances(from, home, &ops, &homes) => Class::Affine,
                    true => Class::Other,
                    false => known.class.max(self.class(from, &ops, &homes, 0)),
                };
                if class > known.class {
                    changed = true;
                    if let Some(known) = homes.get_mut(&home) {
                        known.class = class;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        if homes.values().any(|home| home.class == Class::Other) {
            return None;
        }
        let class = |val: Val| self.class(val, &ops, &homes, 0);
        let mut constant = true;
        for nodes in [rest, self.continuing] {
            conditions(nodes, &mut |val| constant &= class(val) == Class::Constant);
        }
        let followed = |op: &&Op| match op {
            Op::Load { access, .. } | Op::Store { access, .. } => class(access.index) <= Class::Affine,
            Op::Check { index, .. } => class(*index) <= Class::Affine,
            // A texel's address is not affine in its coordinates.
            Op::TexelLoad { at, .. } | Op::TexelStore { at, .. } => at.iter().all(|&val| class(val) == Class::Constant),
            _ => true,
        };
        if !constant || !all.iter().all(followed) {
            return None;
        }
        let (counter, end, inclusive, signed) = self.comparison(condition, &ops)?;
        if class(Val::Reg(counter)) != Class::Affine || class(end) != Class::Constant {
            return None;
        }
        let homes = homes.into_iter().filter(|(_, home)| home.carried).map(|(home, _)| home).collect();
        Some(Repetition { counter, end, inclusive, signed, homes })
    }

    /// The condition under which the loop goes on, and the nodes after its check.
    fn end(&self) -> Option<(Register, &'p [Node])> {
        let place = self.body.iter().position(|node| !matches!(node, Node::Segment(_)))?;
        match &self.body[place] {
            Node::If { condition: Val::Reg(condition), accept, reject }
                if accept.is_empty() && matches!(reject[..], [Node::Break]) && !self.varying[*condition as usize] =>
            {
                Some((*condition, &self.body[place + 1..]))
            }
            _ => None,
        }
    }

    /// The comparison that a condition is: the counter, the end, whether the end is included, and whether numbers are signed.
    fn comparison(&self, condition: Register, ops: &HashMap<Register, &Op>) -> Option<(Register, Val, bool, bool)> {
        match ops.get(&condition)? {
            Op::Compute { code, from: [Val::Reg(counter), end, _], .. } if !self.varying[*counter as usize] => {
                match code {
                    Code::ULt => Some((*counter, *end, false, false)),
                    Code::ULe => Some((*counter, *end, true, false)),
                    Code::SLt => Some((*counter, *end, false, true)),
                    Code::SLe => Some((*counter, *end, true, true)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether a home is read before the loop's body writes it.
    fn is_carried(&self, home: Register) -> bool {
        first_access(self.body, home).or_else(|| first_access(self.continuing, home)).unwrap_or(true)
    }

    /// Whether a value is a home and a constant that all lanes share.
    fn advances(
        &self,
        val: Val,
        home: Register,
        ops: &HashMap<Register, &Op>,
        homes: &HashMap<Register, Home>,
    ) -> bool {
        let Val::Reg(register) = val else { return false };
        match ops.get(&register) {
            Some(Op::Copy { home: from, .. }) => *from == home,
            Some(Op::Compute { code: code @ (Code::IAdd | Code::ISub), from: [a, b, _], .. }) => {
                let shared = |val: Val| {
                    self.class(val, ops, homes, 0) == Class::Constant
                        && !matches!(val, Val::Reg(register) if self.varying[register as usize])
                };
                (self.advances(*a, home, ops, homes) && shared(*b))
                    || (*code == Code::IAdd && self.advances(*b, home, ops, homes) && shared(*a))
            }
            _ => false,
        }
    }

    fn class(&self, val: Val, ops: &HashMap<Register, &Op>, homes: &HashMap<Register, Home>, depth: u32) -> Class {
        // Chains of operations are short; one that is not is taken for the worst.
        let Val::Reg(register) = val else { return Class::Constant };
        if depth > 64 {
            return Class::Other;
        }
        let of = |val: Val| self.class(val, ops, homes, depth + 1);
        match ops.get(&register) {
            // It is computed before the loop.
            None => Class::Constant,
            Some(Op::Copy { home, .. }) => match homes.get(home) {
                Some(home) => home.class,
                // The loop does not write it, or nothing that counts depends on it.
                None => Class::Constant,
            },
            Some(Op::Length { .. }) => Class::Constant,
            Some(Op::Compute { code, from: [a, b, c], .. }) => {
                let classes = [of(*a), of(*b), of(*c)];
                let worst = classes.into_iter().max().unwrap_or(Class::Other);
                let shared = |val: Val| !matches!(val, Val::Reg(register) if self.varying[register as usize]);
                match code {
                    _ if worst == Class::Constant => Class::Constant,
                    Code::IAdd | Code::ISub | Code::INeg => worst,
                    Code::IMul if classes[0] == Class::Constant && shared(*a) => worst,
                    Code::IMul if classes[1] == Class::Constant && shared(*b) => worst,
                    Code::ShiftLeft if classes[1] == Class::Constant && shared(*b) => worst,
                    _ => Class::Other,
                }
            }
            Some(Op::Load { access, .. }) => {
                let variable = &self.program.variables[access.variable];
                let fixed = match variable.space {
                    Space::Uniform => true,
                    Space::Storage { .. } => !self.stored[access.variable],
                    Space::Workgroup | Space::Texture { .. } => false,
                };
                if fixed && of(access.index) == Class::Constant { Class::Constant } else { Class::Other }
            }
            Some(_) => Class::Other,
        }
    }
}

/// Whether nodes leave the loop that they are in, `inner` loops further in, or anything around it.
fn leaves(nodes: &[Node], inner: u32) -> bool {
    nodes.iter().any(|node| match node {
        Node::Break | Node::Continue => inner == 0,
        Node::Leave(_) | Node::Return => true,
        Node::If { accept, reject, .. } => leaves(accept, inner) || leaves(reject, inner),
        Node::Loop { body, continuing, .. } => leaves(body, inner + 1) || leaves(continuing, inner + 1),
        Node::Scope(_) => true,
        Node::Segment(_) | Node::Barrier { .. } => false,
    })
}

/// Whether the first access to a home reads it. A write that not every iteration reaches counts as a read, since the home may then keep
/// its value.
fn first_access(nodes: &[Node], home: Register) -> Option<bool> {
    let touches = |nodes: &[Node]| first_access(nodes, home).is_some();
    for node in nodes {
        let inner = match node {
            Node::Segment(segment) => {
                let access = segment.ops.iter().find_map(|op| match op {
                    Op::Copy { home: read, .. } if *read == home => Some(true),
                    Op::Move { home: written, .. } if *written == home => Some(false),
                    _ => None,
                });
                if access.is_some() {
                    return access;
                }
                false
            }
            Node::If { accept: a, reject: b, .. } | Node::Loop { body: a, continuing: b, .. } => {
                touches(a) || touches(b)
            }
            Node::Scope(nodes) => touches(nodes),
            _ => false,
        };
        if inner {
            return Some(true);
        }
    }
    None
}
