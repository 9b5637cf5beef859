//! The code that the interpreter runs: operations on 32-bit registers, in structured control flow.
//!
//! A register is assigned by one operation, except homes: the registers of variables, which moves write where control flow meets.

use crate::arithmetic::Code;
use std::sync::Arc;

pub(crate) type Register = u32;

/// An operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Val {
    Const(u32),
    Reg(Register),
}

/// Registers that hold the built-in values of an invocation.
pub(crate) mod input {
    use super::Register;
    pub(crate) const WORKGROUP_ID: Register = 0;
    pub(crate) const WORKGROUPS: Register = 3;
    pub(crate) const SUBGROUP_SIZE: Register = 6;
    pub(crate) const SUBGROUPS: Register = 7;
    /// The registers before this one hold one value for the workgroup.
    pub(crate) const FIRST_VARYING: Register = 8;
    pub(crate) const LOCAL_ID: Register = 8;
    pub(crate) const LOCAL_INDEX: Register = 11;
    pub(crate) const GLOBAL_ID: Register = 12;
    pub(crate) const SUBGROUP_ID: Register = 15;
    pub(crate) const SUBGROUP_LANE: Register = 16;
    pub(crate) const COUNT: Register = 17;
}

/// The number of elements that an index may select from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Fixed(u32),
    /// Of a runtime-sized array that starts at this word of its binding.
    Runtime {
        first: u32,
    },
    /// Checks of the parts of the index precede the access.
    Checked,
}

/// The words of a variable that an operation accesses: `words` of them, starting at `(index + add) * stride + offset`. The sum in
/// parentheses wraps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Access {
    pub(crate) variable: usize,
    pub(crate) index: Val,
    pub(crate) add: u32,
    pub(crate) stride: u32,
    pub(crate) count: Count,
    pub(crate) offset: u32,
    pub(crate) words: u32,
    pub(crate) atomic: bool,
    pub(crate) line: u32,
}

/// A read-modify-write of one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtomicCode {
    Compute(Code),
    Exchange,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    Compute {
        code: Code,
        to: Register,
        from: [Val; 3],
    },
    /// Reads a home. Later moves to the home do not change the copy.
    Copy {
        to: Register,
        home: Register,
    },
    /// Writes a home, in the active lanes.
    Move {
        home: Register,
        from: Val,
    },
    /// The number of elements of a runtime-sized array.
    Length {
        to: Register,
        variable: usize,
        first: u32,
        stride: u32,
    },
    /// An index into a part of a variable, or of a value.
    Check {
        variable: Option<usize>,
        index: Val,
        count: Count,
        stride: u32,
        /// Whether the access stores.
        stores: bool,
        line: u32,
    },
    /// Loads into `words` registers from `to` on.
    Load {
        access: Access,
        to: Register,
    },
    Store {
        access: Access,
        from: [Val; 4],
    },
    Atomic {
        access: Access,
        code: AtomicCode,
        value: Val,
        to: Option<Register>,
    },
    /// Reads a private array at an index that is not constant.
    Pick {
        to: Register,
        homes: Register,
        count: u32,
        stride: u32,
        offset: u32,
        index: Val,
        line: u32,
    },
    /// Writes a private array at an index that is not constant.
    Put {
        homes: Register,
        count: u32,
        stride: u32,
        offset: u32,
        index: Val,
        from: Val,
        line: u32,
    },
    TexelLoad {
        variable: usize,
        at: [Val; 2],
        to: Register,
        line: u32,
    },
    TexelStore {
        variable: usize,
        at: [Val; 2],
        from: [Val; 4],
        line: u32,
    },
}

impl Op {
    /// Calls `each` for every operand, except homes.
    pub(crate) fn operands(&self, each: &mut dyn FnMut(Val)) {
        match self {
            Op::Compute { from, .. } => from.iter().copied().for_each(each),
            Op::Copy { .. } | Op::Length { .. } => {}
            Op::Move { from, .. } => each(*from),
            Op::Check { index, .. } | Op::Pick { index, .. } => each(*index),
            Op::Load { access, .. } => each(access.index),
            Op::Store { access, from } => {
                each(access.index);
                from[..access.words as usize].iter().copied().for_each(each);
            }
            Op::Atomic { access, value, .. } => {
                each(access.index);
                each(*value);
            }
            Op::Put { index, from, .. } => {
                each(*index);
                each(*from);
            }
            Op::TexelLoad { at, .. } => at.iter().copied().for_each(each),
            Op::TexelStore { at, from, .. } => at.iter().chain(from).copied().for_each(each),
        }
    }

    /// The registers that it assigns: the first and their number. Homes do not count.
    pub(crate) fn results(&self) -> (Register, u32) {
        match self {
            Op::Compute { to, .. } | Op::Copy { to, .. } | Op::Length { to, .. } | Op::Pick { to, .. } => (*to, 1),
            Op::Load { access, to } => (*to, access.words),
            Op::TexelLoad { to, .. } => (*to, 4),
            Op::Atomic { to: Some(to), .. } => (*to, 1),
            _ => (0, 0),
        }
    }
}

/// A part of a program.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Segment(Segment),
    If {
        condition: Val,
        accept: Vec<Node>,
        reject: Vec<Node>,
    },
    Loop {
        body: Vec<Node>,
        continuing: Vec<Node>,
        break_if: Option<Val>,
        line: u32,
        id: usize,
    },
    /// A function called in line, or a `switch`: lanes leave it before its end.
    Scope(Vec<Node>),
    Break,
    Continue,
    /// Leaves that many scopes.
    Leave(usize),
    Return,
    /// Orders accesses to storage, or to workgroup memory.
    Barrier {
        storage: bool,
        workgroup: bool,
        line: u32,
    },
}

/// Operations without control flow between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Segment {
    pub(crate) ops: Vec<Op>,
    /// Iterations of loops that were unrolled into it.
    pub(crate) iterations: u32,
    /// Its index among the segments of the program.
    pub(crate) id: usize,
}

/// The memory that a variable lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Uniform,
    Storage { written: bool },
    Workgroup,
    Texture { written: bool },
}

/// A module-scope variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) space: Space,
    pub(crate) binding: Option<(u32, u32)>,
    /// Words of its type, a runtime-sized array counting as one element.
    pub(crate) words: u32,
}

/// A compute shader, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) workgroup_size: [u32; 3],
    pub(crate) variables: Vec<Variable>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) registers: u32,
    pub(crate) segments: usize,
    pub(crate) loops: usize,
    /// The text, for messages.
    pub(crate) text: Arc<str>,
}

/// Calls `each` for every segment.
pub(crate) fn each_segment<'n>(nodes: &'n [Node], each: &mut dyn FnMut(&'n Segment)) {
    for node in nodes {
        match node {
            Node::Segment(segment) => each(segment),
            Node::If { accept, reject, .. } => {
                each_segment(accept, each);
                each_segment(reject, each);
            }
            Node::Loop { body, continuing, .. } => {
                each_segment(body, each);
                each_segment(continuing, each);
            }
            Node::Scope(nodes) => each_segment(nodes, each),
            Node::Break | Node::Continue | Node::Leave(_) | Node::Return | Node::Barrier { .. } => {}
        }
    }
}

/// Calls `each` for the condition of every branch, and of every loop's end.
pub(crate) fn conditions(nodes: &[Node], each: &mut dyn FnMut(Val)) {
    for node in nodes {
        match node {
            Node::If { condition, accept, reject } => {
                each(*condition);
                conditions(accept, each);
                conditions(reject, each);
            }
            Node::Loop { body, continuing, break_if, .. } => {
                break_if.iter().for_each(|&val| each(val));
                conditions(body, each);
                conditions(continuing, each);
            }
            Node::Scope(nodes) => conditions(nodes, each),
            _ => {}
        }
    }
}
