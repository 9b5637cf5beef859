//! Code under construction: regions of structured control flow, known values, and the values of variables.

use crate::arithmetic::{Code, Fma, evaluate};
use crate::code::{Access, Count, Node, Op, Register, Segment, Val};
use std::collections::HashMap;

/// What is known of the value of a variable's scalar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slot {
    /// It is in the home.
    Home,
    /// It is this value, and the home has it too.
    Clean(Val),
    /// It is this value, and the home has an older one.
    Dirty(Val),
}

/// The kind of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegionKind {
    Whole,
    Branch,
    /// The body of a loop: operations on values from outside move in front of the loop.
    Loop,
    Scope,
}

/// A word of a uniform variable: variable, index, stride, offset.
type LoadKey = (usize, Val, u32, u32);

/// A list of nodes under construction.
#[derive(Debug)]
pub(super) struct Region {
    kind: RegionKind,
    pub(super) nodes: Vec<Node>,
    /// The registers of operations with these operands.
    known: HashMap<(Code, [Val; 3]), Register>,
    /// The registers of words of uniform variables.
    loaded: HashMap<LoadKey, Register>,
}

/// A place in the code to return to.
#[derive(Debug)]
pub(super) struct Mark {
    /// Nodes and operations of the last node of each region.
    regions: Vec<(usize, usize, u32)>,
    changes: usize,
    env: Vec<Slot>,
    pub(super) emitted: usize,
}

#[derive(Debug)]
enum Change {
    Known(usize, (Code, [Val; 3])),
    Loaded(usize, LoadKey),
}

#[derive(Debug)]
pub(super) struct Builder {
    pub(super) regions: Vec<Region>,
    changes: Vec<Change>,
    /// The innermost region of each register's definition.
    depths: Vec<usize>,
    /// The sums of a value and a constant.
    offsets: HashMap<Register, (Val, u32)>,
    pub(super) env: Vec<Slot>,
    /// The home of each slot.
    pub(super) homes: Vec<Register>,
    /// Operations so far.
    pub(super) emitted: usize,
    /// The same, with those that were undone or known.
    pub(super) work: usize,
}

impl Builder {
    pub(super) fn new(inputs: Register) -> Self {
        let whole = Region::new(RegionKind::Whole);
        let depths = vec![0; inputs as usize];
        Builder {
            regions: vec![whole],
            changes: Vec::new(),
            depths,
            offsets: HashMap::new(),
            env: Vec::new(),
            homes: Vec::new(),
            emitted: 0,
            work: 0,
        }
    }

    pub(super) fn registers(&self) -> u32 {
        self.depths.len() as u32
    }

    /// A register that is defined in a region.
    fn register(&mut self, region: usize) -> Register {
        self.depths.push(region);
        self.depths.len() as u32 - 1
    }

    /// Consecutive registers that are defined in the current region.
    pub(super) fn consecutive(&mut self, count: u32) -> Register {
        let first = self.depths.len() as u32;
        let region = self.regions.len() - 1;
        self.depths.resize(self.depths.len() + count as usize, region);
        first
    }

    /// New slots, with consecutive homes. Their values are unset.
    pub(super) fn slots(&mut self, count: u32) -> usize {
        let first = self.env.len().max(self.homes.len());
        self.env.resize(first, Slot::Home);
        for _ in 0..count {
            let home = self.register(0);
            self.homes.push(home);
            self.env.push(Slot::Home);
        }
        first
    }

    pub(super) fn mark(&self) -> Mark {
        let place = |region: &Region| {
            let (ops, iterations) = match region.nodes.last() {
                Some(Node::Segment(segment)) => (segment.ops.len(), segment.iterations),
                _ => (0, 0),
            };
            (region.nodes.len(), ops, iterations)
        };
        Mark {
            regions: self.regions.iter().map(place).collect(),
            changes: self.changes.len(),
            env: self.env.clone(),
            emitted: self.emitted,
        }
    }

    /// Undoes everything since a mark.
    pub(super) fn undo(&mut self, mark: &Mark) {
        for change in self.changes.drain(mark.changes..) {
            match change {
                Change::Known(region, key) if region < mark.regions.len() => {
                    self.regions[region].known.remove(&key);
                }
                Change::Loaded(region, key) if region < mark.regions.len() => {
                    self.regions[region].loaded.remove(&key);
                }
                _ => {}
            }
        }
        self.regions.truncate(mark.regions.len());
        for (region, &(nodes, ops, iterations)) in self.regions.iter_mut().zip(&mark.regions) {
            region.nodes.truncate(nodes);
            if let Some(Node::Segment(segment)) = region.nodes.last_mut() {
                segment.ops.truncate(ops);
                segment.iterations = iterations;
            }
        }
        self.env.clone_from(&mark.env);
        self.emitted = mark.emitted;
    }

    pub(super) fn open(&mut self, kind: RegionKind) {
        self.regions.push(Region::new(kind));
    }

    /// Ends the innermost region.
    pub(super) fn close(&mut self) -> Region {
        self.regions.pop().unwrap_or_else(|| Region::new(RegionKind::Whole))
    }

    /// Takes the nodes of the innermost region, and forgets the values that were computed in them.
    pub(super) fn split(&mut self) -> Vec<Node> {
        let last = self.regions.len() - 1;
        let region = &mut self.regions[last];
        region.known.clear();
        region.loaded.clear();
        std::mem::take(&mut region.nodes)
    }

    /// Appends an operation to a region.
    fn push_to(&mut self, region: usize, op: Op) {
        self.emitted += 1;
        self.work += 1;
        self.regions[region].push(op);
    }

    pub(super) fn push(&mut self, op: Op) {
        self.push_to(self.regions.len() - 1, op);
    }

    pub(super) fn push_node(&mut self, node: Node) {
        let region = self.regions.len() - 1;
        self.regions[region].nodes.push(node);
    }

    /// Counts an iteration of an unrolled loop.
    pub(super) fn count_iteration(&mut self) {
        let region = self.regions.len() - 1;
        self.regions[region].segment().iterations += 1;
    }

    fn depth(&self, val: Val) -> usize {
        match val {
            Val::Const(_) => 0,
            Val::Reg(register) => self.depths[register as usize],
        }
    }

    /// The outermost region where an operation on these operands can stand: in front of the loops in which they do not change.
    fn place(&self, from: &[Val]) -> usize {
        let mut region = self.regions.len() - 1;
        while region > 0
            && self.regions[region].kind == RegionKind::Loop
            && from.iter().all(|&val| self.depth(val) < region)
        {
            region -= 1;
        }
        region
    }

    /// The value of an operation: a constant, a known register, or a new one.
    pub(super) fn compute(&mut self, code: Code, from: &[Val]) -> Val {
        self.work += 1;
        let mut operands = [Val::Const(0); 3];
        operands[..from.len()].copy_from_slice(from);
        if let Some(val) = simplified(code, &operands) {
            return val;
        }
        if let Some(val) = self.regrouped(code, operands) {
            return val;
        }
        let (code, mut operands) = cheaper(code, operands);
        if code.commutes() && matches!(operands[0], Val::Const(_)) {
            operands.swap(0, 1);
        }
        let key = (code, operands);
        if let Some(&known) = self.regions.iter().rev().find_map(|region| region.known.get(&key)) {
            return Val::Reg(known);
        }
        let region = self.place(&operands);
        let to = self.register(region);
        self.push_to(region, Op::Compute { code, to, from: operands });
        if let (Code::IAdd, [base, Val::Const(offset), _]) = key {
            self.offsets.insert(to, (base, offset));
        }
        self.regions[region].known.insert(key, to);
        self.changes.push(Change::Known(region, key));
        Val::Reg(to)
    }

    /// A value as the sum of another and a constant.
    pub(super) fn offset(&self, val: Val) -> (Val, u32) {
        match val {
            Val::Reg(register) => self.offsets.get(&register).copied().unwrap_or((val, 0)),
            Val::Const(_) => (val, 0),
        }
    }

    /// Moves constants outwards, as compilers do: `(x + 1) * 4 + y` becomes `(x * 4 + y) + 4`, so that sums that differ in a constant
    /// share the rest. Equal modulo 2^32.
    fn regrouped(&mut self, code: Code, [a, b, _]: [Val; 3]) -> Option<Val> {
        let ((a_base, a_offset), (b_base, b_offset)) = (self.offset(a), self.offset(b));
        match (code, b) {
            (Code::ISub, Val::Const(by)) => Some(self.compute(Code::IAdd, &[a, Val::Const(by.wrapping_neg())])),
            (Code::IAdd, Val::Const(by)) if a_offset != 0 => {
                Some(self.compute(Code::IAdd, &[a_base, Val::Const(a_offset.wrapping_add(by))]))
            }
            (Code::IAdd, _) if a_offset != 0 || b_offset != 0 => {
                let sum = self.compute(Code::IAdd, &[a_base, b_base]);
                Some(self.compute(Code::IAdd, &[sum, Val::Const(a_offset.wrapping_add(b_offset))]))
            }
            (Code::IMul, Val::Const(by)) if a_offset != 0 => {
                let product = self.compute(Code::IMul, &[a_base, b]);
                Some(self.compute(Code::IAdd, &[product, Val::Const(a_offset.wrapping_mul(by))]))
            }
            (Code::ShiftLeft, Val::Const(by)) if a_offset != 0 => {
                let product = self.compute(Code::ShiftLeft, &[a_base, b]);
                Some(self.compute(Code::IAdd, &[product, Val::Const(a_offset << (by & 31))]))
            }
            _ => None,
        }
    }

    /// A load. Words of a uniform variable are loaded once.
    pub(super) fn load(&mut self, access: Access, uniform: bool) -> Register {
        let offset = access.offset.wrapping_add(access.add.wrapping_mul(access.stride));
        let key = (access.variable, access.index, access.stride, offset);
        if !uniform {
            let to = self.consecutive(access.words);
            self.push(Op::Load { access, to });
            return to;
        }
        if access.words == 1
            && let Some(&known) = self.regions.iter().rev().find_map(|region| region.loaded.get(&key))
        {
            return known;
        }
        // In front of a loop, which may have no iteration, only what is there for sure is loaded.
        let inside = matches!((access.index, access.count), (Val::Const(index), Count::Fixed(count)) if index < count);
        let region = if inside { self.place(&[]) } else { self.regions.len() - 1 };
        let to = self.depths.len() as u32;
        self.depths.resize(self.depths.len() + access.words as usize, region);
        self.push_to(region, Op::Load { access, to });
        if access.words == 1 {
            self.regions[region].loaded.insert(key, to);
            self.changes.push(Change::Loaded(region, key));
        }
        to
    }

    /// The value of a slot.
    pub(super) fn read(&mut self, slot: usize) -> Val {
        match self.env[slot] {
            Slot::Clean(val) | Slot::Dirty(val) => val,
            Slot::Home => {
                let to = self.consecutive(1);
                self.push(Op::Copy { to, home: self.homes[slot] });
                self.env[slot] = Slot::Clean(Val::Reg(to));
                Val::Reg(to)
            }
        }
    }

    /// Writes the values of slots to their homes.
    pub(super) fn flush(&mut self, slots: impl IntoIterator<Item = usize>) {
        for slot in slots {
            if let Slot::Dirty(from) = self.env[slot] {
                self.push(Op::Move { home: self.homes[slot], from });
                self.env[slot] = Slot::Clean(from);
            }
        }
    }

    /// As `flush`; afterwards the values are only in the homes.
    pub(super) fn settle(&mut self, slots: &[usize]) {
        self.flush(slots.iter().copied());
        slots.iter().for_each(|&slot| self.env[slot] = Slot::Home);
    }

    /// Joins two branches that both reach their ends. The current values are those before the branches.
    pub(super) fn join(&mut self, mut accept: (Region, Vec<Slot>), mut reject: (Region, Vec<Slot>)) -> [Region; 2] {
        let before = self.env.len();
        for slot in 0..before {
            let (a, b) = (accept.1[slot], reject.1[slot]);
            self.env[slot] = match (a, b) {
                (a, b) if a == b => a,
                (Slot::Clean(a) | Slot::Dirty(a), Slot::Clean(b) | Slot::Dirty(b)) if a == b => Slot::Dirty(a),
                _ => {
                    for (region, slot_value) in [(&mut accept.0, a), (&mut reject.0, b)] {
                        if let Slot::Dirty(from) = slot_value {
                            self.emitted += 1;
                            region.push(Op::Move { home: self.homes[slot], from });
                        }
                    }
                    Slot::Home
                }
            };
        }
        [accept.0, reject.0]
    }
}

impl Region {
    fn new(kind: RegionKind) -> Self {
        Region { kind, nodes: Vec::new(), known: HashMap::new(), loaded: HashMap::new() }
    }

    fn push(&mut self, op: Op) {
        self.segment().ops.push(op);
    }

    /// The last node, if it is a segment, or a new one.
    fn segment(&mut self) -> &mut Segment {
        if !matches!(self.nodes.last(), Some(Node::Segment(_))) {
            self.nodes.push(Node::Segment(Segment::default()));
        }
        match self.nodes.last_mut() {
            Some(Node::Segment(segment)) => segment,
            _ => unreachable!("a segment was pushed"),
        }
    }
}

/// The value of an operation that needs no code.
fn simplified(code: Code, from: &[Val; 3]) -> Option<Val> {
    use Val::Const;
    if let &[Const(a), Const(b), Const(c)] = from
        // The rounding of a fused multiply-add is chosen when the program runs.
        && code != Code::Fma
    {
        return Some(Const(evaluate(code, Fma::Separate, [a, b, c])));
    }
    let [a, b, c] = *from;
    match (code, a, b) {
        (Code::IAdd | Code::Or | Code::Xor, Const(0), other) => Some(other),
        (
            Code::IAdd
            | Code::ISub
            | Code::Or
            | Code::Xor
            | Code::ShiftLeft
            | Code::ShiftRight
            | Code::ShiftRightSigned,
            other,
            Const(0),
        ) => Some(other),
        (Code::IMul, Const(1), other) | (Code::IMul | Code::UDiv | Code::SDiv, other, Const(1)) => Some(other),
        (Code::IMul | Code::And, Const(0), _) | (Code::IMul | Code::And, _, Const(0)) => Some(Const(0)),
        (Code::URem, _, Const(1)) => Some(Const(0)),
        (Code::ShiftLeft | Code::ShiftRight | Code::ShiftRightSigned | Code::UDiv | Code::URem, Const(0), _) => {
            Some(Const(0))
        }
        (Code::UMin | Code::UMax | Code::SMin | Code::SMax, a, b) if a == b => Some(a),
        (Code::UMin, Const(0), _) | (Code::UMin, _, Const(0)) => Some(Const(0)),
        (Code::UMax, Const(0), other) | (Code::UMax, other, Const(0)) => Some(other),
        (Code::ULt, _, Const(0)) => Some(Const(0)),
        (Code::ULe, Const(0), _) => Some(Const(1)),
        (Code::ISub, a, b) if a == b => Some(Const(0)),
        (Code::Select, Const(condition), accept) => Some(if condition != 0 { accept } else { c }),
        (Code::Select, _, accept) if accept == c => Some(accept),
        _ => None,
    }
}

/// The operation that a compiler would put in place of one by a power of two.
fn cheaper(code: Code, from: [Val; 3]) -> (Code, [Val; 3]) {
    let [a, b, c] = from;
    match (code, b) {
        (Code::UDiv, Val::Const(by)) if by.is_power_of_two() => {
            (Code::ShiftRight, [a, Val::Const(by.trailing_zeros()), c])
        }
        (Code::URem, Val::Const(by)) if by.is_power_of_two() => (Code::And, [a, Val::Const(by - 1), c]),
        (Code::IMul, Val::Const(by)) if by.is_power_of_two() => {
            (Code::ShiftLeft, [a, Val::Const(by.trailing_zeros()), c])
        }
        _ => (code, from),
    }
}
