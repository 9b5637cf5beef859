//! Types of values, and how they lie in memory.

use crate::error::{Error, Result};
use naga::{ArraySize, Handle, ScalarKind, Type, TypeInner};
use std::rc::Rc;

/// The kind of a number. All are 32 bits wide; a boolean is 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Float,
    Signed,
    Unsigned,
    Bool,
}

/// A type. Sizes and distances in memory are in words of 4 bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    Scalar(Kind),
    Atomic(Kind),
    Vector {
        size: u32,
        kind: Kind,
    },
    Matrix {
        columns: u32,
        rows: u32,
    },
    /// `count` is `None` for an array whose length depends on the binding.
    Array {
        element: Rc<Layout>,
        count: Option<u32>,
        stride: u32,
    },
    /// Distance of each member from the start.
    Struct {
        members: Vec<(u32, Rc<Layout>)>,
        words: u32,
    },
}

impl Layout {
    /// The layout of a type of a module.
    pub(crate) fn of(module: &naga::Module, ty: Handle<Type>) -> Result<Rc<Layout>> {
        let words = |bytes: u32| match bytes % 4 {
            0 => Ok(bytes / 4),
            _ => Err(unknown(&module.types[ty])),
        };
        Ok(Rc::new(match &module.types[ty].inner {
            TypeInner::Scalar(scalar) => Layout::Scalar(kind(*scalar)?),
            TypeInner::Atomic(scalar) => Layout::Atomic(kind(*scalar)?),
            TypeInner::Vector { size, scalar } => Layout::Vector { size: *size as u32, kind: kind(*scalar)? },
            TypeInner::Matrix { columns, rows, scalar } if kind(*scalar)? == Kind::Float => {
                Layout::Matrix { columns: *columns as u32, rows: *rows as u32 }
            }
            TypeInner::Array { base, size, stride } => {
                let element = Layout::of(module, *base)?;
                let count = match size {
                    ArraySize::Constant(count) => Some(count.get()),
                    ArraySize::Dynamic => None,
                    ArraySize::Pending(_) => {
                        return Err(Error::Unknown { what: "an array sized by an override".into() });
                    }
                };
                // naga counts a boolean as one byte. Here it is a word.
                let stride = if element.has_bool() { element.words() } else { words(*stride)? };
                Layout::Array { element, count, stride }
            }
            TypeInner::Struct { members, span } => {
                let layouts = members.iter().map(|m| Layout::of(module, m.ty)).collect::<Result<Vec<_>>>()?;
                if layouts.iter().any(|layout| layout.has_bool()) {
                    let mut at = 0;
                    let place = |layout: Rc<Layout>| {
                        let member = (at, layout.clone());
                        at += layout.words();
                        member
                    };
                    let members = layouts.into_iter().map(place).collect();
                    Layout::Struct { members, words: at }
                } else {
                    let offsets = members.iter().map(|m| words(m.offset)).collect::<Result<Vec<_>>>()?;
                    Layout::Struct { members: offsets.into_iter().zip(layouts).collect(), words: words(*span)? }
                }
            }
            _ => return Err(unknown(&module.types[ty])),
        }))
    }

    fn has_bool(&self) -> bool {
        match self {
            Layout::Scalar(kind) | Layout::Atomic(kind) | Layout::Vector { kind, .. } => *kind == Kind::Bool,
            Layout::Matrix { .. } => false,
            Layout::Array { element, .. } => element.has_bool(),
            Layout::Struct { members, .. } => members.iter().any(|(_, member)| member.has_bool()),
        }
    }

    /// Words in memory. An array whose length depends on the binding counts as one element.
    pub(crate) fn words(&self) -> u32 {
        match self {
            Layout::Scalar(_) | Layout::Atomic(_) => 1,
            Layout::Vector { size, .. } => *size,
            Layout::Matrix { columns, rows } => columns * column_stride(*rows),
            Layout::Array { count, stride, .. } => count.unwrap_or(1).saturating_mul(*stride),
            Layout::Struct { words, .. } => *words,
        }
    }

    /// Number of scalars.
    pub(crate) fn scalars(&self) -> u32 {
        match self {
            Layout::Scalar(_) | Layout::Atomic(_) => 1,
            Layout::Vector { size, .. } => *size,
            Layout::Matrix { columns, rows } => columns * rows,
            Layout::Array { element, count, .. } => count.unwrap_or(1).saturating_mul(element.scalars()),
            Layout::Struct { members, .. } => {
                members.iter().fold(0, |sum: u32, (_, member)| sum.saturating_add(member.scalars()))
            }
        }
    }

    /// The kind of a scalar, or of the components of a vector or matrix.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Layout::Scalar(kind) | Layout::Atomic(kind) | Layout::Vector { kind, .. } => Some(*kind),
            Layout::Matrix { .. } => Some(Kind::Float),
            _ => None,
        }
    }

    /// The part with this index: its layout, its first scalar, and its first word.
    pub(crate) fn part(&self, index: u32) -> Option<(Rc<Layout>, u32, u32)> {
        match self {
            Layout::Scalar(_) | Layout::Atomic(_) => None,
            Layout::Vector { size, kind } => (index < *size).then(|| (Rc::new(Layout::Scalar(*kind)), index, index)),
            Layout::Matrix { columns, rows } => (index < *columns).then(|| {
                let column = Rc::new(Layout::Vector { size: *rows, kind: Kind::Float });
                (column, index * rows, index * column_stride(*rows))
            }),
            Layout::Array { element, count, stride } => {
                let there = count.is_none_or(|count| index < count);
                let scalars = index.checked_mul(element.scalars())?;
                let words = index.checked_mul(*stride)?;
                there.then(|| (element.clone(), scalars, words))
            }
            Layout::Struct { members, .. } => {
                let (words, member) = members.get(index as usize)?;
                let before = members[..index as usize].iter().map(|(_, member)| member.scalars()).sum();
                Some((member.clone(), before, *words))
            }
        }
    }

    /// What a run-time index steps over: the layout of the parts, their number, and the distance between them in scalars and words.
    pub(crate) fn parts(&self) -> Option<Parts> {
        match self {
            Layout::Scalar(_) | Layout::Atomic(_) | Layout::Struct { .. } => None,
            Layout::Vector { size, kind } => {
                Some(Parts { layout: Rc::new(Layout::Scalar(*kind)), count: Some(*size), scalars: 1, words: 1 })
            }
            Layout::Matrix { columns, rows } => Some(Parts {
                layout: Rc::new(Layout::Vector { size: *rows, kind: Kind::Float }),
                count: Some(*columns),
                scalars: *rows,
                words: column_stride(*rows),
            }),
            Layout::Array { element, count, stride } => {
                Some(Parts { layout: element.clone(), count: *count, scalars: element.scalars(), words: *stride })
            }
        }
    }

    /// Runs of scalars that are adjacent in memory and that hardware loads at once, at most four each: first word and length.
    pub(crate) fn runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        self.each_scalar(0, &mut |word| match runs.last_mut() {
            Some((first, length)) if *first + *length == word && *length < 4 => *length += 1,
            _ => runs.push((word, 1)),
        });
        runs
    }

    fn each_scalar(&self, word: u32, each: &mut dyn FnMut(u32)) {
        match self {
            Layout::Scalar(_) | Layout::Atomic(_) => each(word),
            Layout::Vector { size, .. } => (0..*size).for_each(|i| each(word + i)),
            Layout::Matrix { columns, rows } => {
                for column in 0..*columns {
                    (0..*rows).for_each(|row| each(word + column * column_stride(*rows) + row));
                }
            }
            Layout::Array { element, count, stride } => {
                (0..count.unwrap_or(1)).for_each(|i| element.each_scalar(word + i * stride, each));
            }
            Layout::Struct { members, .. } => {
                members.iter().for_each(|(first, member)| member.each_scalar(word + first, each));
            }
        }
    }
}

/// The parts of a layout that a run-time index selects from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) layout: Rc<Layout>,
    pub(crate) count: Option<u32>,
    pub(crate) scalars: u32,
    pub(crate) words: u32,
}

/// Words from one column of a matrix to the next.
fn column_stride(rows: u32) -> u32 {
    if rows == 3 { 4 } else { rows }
}

/// The kind of a scalar type.
pub(crate) fn kind(scalar: naga::Scalar) -> Result<Kind> {
    match (scalar.kind, scalar.width) {
        (ScalarKind::Float, 4) => Ok(Kind::Float),
        (ScalarKind::Sint, 4) => Ok(Kind::Signed),
        (ScalarKind::Uint, 4) => Ok(Kind::Unsigned),
        (ScalarKind::Bool, _) => Ok(Kind::Bool),
        (kind, width) => Err(Error::Unknown { what: format!("the type {kind:?} of {} bits", u32::from(width) * 8) }),
    }
}

fn unknown(ty: &Type) -> Error {
    let name = ty.name.as_deref().unwrap_or("");
    Error::Unknown { what: format!("the type {name} {:?}", ty.inner) }
}
