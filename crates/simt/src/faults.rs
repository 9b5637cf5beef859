//! What a shader does wrong.

use std::fmt;

/// The kind of a fault, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// An index that is not below the number of elements of an array, of a vector, or of the range that is bound.
    OutOfBounds {
        /// The index.
        index: u32,
        /// The number of elements.
        count: u64,
    },
    /// A read of workgroup memory that no invocation wrote. WGSL has zeros there, but wgpu can be told not to write them
    /// (`ShaderRuntimeChecks`), and programs rarely mean to read them.
    Uninitialised {
        /// The word of the variable.
        word: u64,
    },
    /// Two invocations of a workgroup access one word of workgroup memory without a barrier between, and one of them writes.
    WorkgroupRace {
        /// The word of the variable.
        word: u64,
        /// Local index of the other invocation.
        other: u64,
    },
    /// Two invocations of a dispatch access one word of storage, and one of them writes. Those of one workgroup may do so with a
    /// `storageBarrier` between. Two that write the same value are a race too.
    StorageRace {
        /// The word of the variable.
        word: u64,
        /// Number of the other invocation in the dispatch: its workgroup times the invocations of a workgroup, plus its local index.
        other: u64,
    },
    /// A barrier that not all invocations of the workgroup reach together.
    NonUniformBarrier {
        /// The invocations that reach it.
        reached: u32,
        /// The invocations of the workgroup.
        expected: u32,
    },
    /// A loop with more iterations than allowed.
    EndlessLoop {
        /// The allowed iterations.
        limit: u64,
    },
}

/// A fault, at the first place where it occurred.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The kind.
    pub kind: FaultKind,
    /// The variable. Empty for barriers, loops, private arrays and values.
    pub variable: String,
    /// Whether the access stores.
    pub stores: bool,
    /// The line of the text, from 1.
    pub line: u32,
    /// The line itself.
    pub statement: String,
    /// The workgroup.
    pub workgroup: [u32; 3],
    /// Local index of the invocation.
    pub lane: u32,
    /// How often it occurred, over all lanes and workgroups that were run.
    pub times: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { variable, line, statement, workgroup, lane, times, .. } = self;
        let variable = if variable.is_empty() { "a private array or a value" } else { variable };
        let access = if self.stores { "writes" } else { "reads" };
        write!(f, "line {line}: ")?;
        match self.kind {
            FaultKind::OutOfBounds { index, count } => {
                write!(f, "lane {lane} {access} {variable} at index {index} of {count}")?;
            }
            FaultKind::Uninitialised { word } => {
                write!(f, "lane {lane} reads word {word} of {variable}, which was never written")?;
            }
            FaultKind::WorkgroupRace { word, other } => {
                write!(
                    f,
                    "lane {lane} {access} word {word} of {variable}, which lane {other} accessed since the last barrier"
                )?;
            }
            FaultKind::StorageRace { word, other } => {
                write!(
                    f,
                    "lane {lane} {access} word {word} of {variable}, which invocation {other} of the dispatch accessed too"
                )?;
            }
            FaultKind::NonUniformBarrier { reached, expected } => {
                write!(f, "{reached} of {expected} lanes reach a barrier, the first is lane {lane}")?;
            }
            FaultKind::EndlessLoop { limit } => write!(f, "lane {lane} is in a loop after {limit} iterations")?,
        }
        let [x, y, z] = workgroup;
        write!(f, ", in workgroup ({x}, {y}, {z})")?;
        if *times > 1 {
            write!(f, ", {times} times in all")?;
        }
        write!(f, ": `{}`", statement.trim())
    }
}
