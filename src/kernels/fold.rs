//! Adds the input gradient of padding that copies samples to the samples that it copies.

use super::operands::{Draft, Parameters, Skips};
use super::params::{Block, append, params};
use super::program::{Binding, Builder, ElementRange, LANES, Source, source};
use crate::error::Result;
use crate::lowering::{Fold, Operand, Role, Slot};
use std::ops::Range;

pub(super) static FOLD: Source = source!("fold", FoldParams);

params! {
    /// `Fold` of `fold.wgsl`.
    FoldParams {
        rows: u32, count: u32, terms: u32, term_step: u32, border_first: u32, border_length: u32, border_step: i32,
        out_length: u32,
    }
}

impl FoldParams {
    const BLOCKS: &'static [Block] =
        &[Skips::BLOCK, Block { name: "fold", fields: Self::FIELDS, bytes: size_of::<Self>() }];
}

impl Parameters for FoldParams {
    fn bytes(&self, _: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(&mut bytes, self);
        bytes
    }
}

/// Appends the dispatches. Each covers the rows that fit one binding and the terms that one dispatch may add.
pub(crate) fn emit(f: &Fold, builder: &mut Builder<'_>) -> Result<()> {
    let longest = u64::from(f.length.max(f.border_length));
    let at_once = (builder.caps.max_range() / longest).clamp(1, f.rows.into()) as u32;
    let max_terms = builder.caps.max_terms(1);
    for first_row in (0..f.rows).step_by(at_once as usize) {
        let rows = first_row..first_row + at_once.min(f.rows - first_row);
        for first_term in (0..f.terms).step_by(max_terms as usize) {
            let terms = max_terms.min(f.terms - first_term);
            let border_first = f.border_first + first_term * f.term_step;
            emit_part(&Fold { border_first, terms, ..*f }, rows.clone(), builder)?;
        }
    }
    Ok(())
}

fn emit_part(f: &Fold, rows: Range<u32>, builder: &mut Builder<'_>) -> Result<()> {
    let count = rows.end - rows.start;
    let span = |length: u32, last: u32| u64::from(count - 1) * u64::from(length) + u64::from(last);
    let output = ElementRange {
        start: u64::from(rows.start) * u64::from(f.length) + u64::from(f.first),
        length: span(f.length, f.count),
    };
    // One side of the border in each row: from the lowest to the highest sample that is read.
    let far = i64::from(f.border_first) + i64::from(f.count - 1) * i64::from(f.border_step);
    let lowest = far.min(f.border_first.into()) as u32;
    let highest = far.max(f.border_first.into()) as u32 + (f.terms - 1) * f.term_step + 1;
    let border = ElementRange {
        start: u64::from(rows.start) * u64::from(f.border_length) + u64::from(lowest),
        length: span(f.border_length, highest - lowest),
    };
    let draft = Draft::new(&FOLD).bind(Binding::new("input", Operand::Slot(Slot::Border), border)).bind(Binding::new(
        "output",
        Operand::Role(Role::InputGradient),
        output,
    ));
    let params = FoldParams {
        rows: count,
        count: f.count,
        terms: f.terms,
        term_step: f.term_step,
        border_first: f.border_first - lowest,
        border_length: f.border_length,
        border_step: f.border_step,
        out_length: f.length,
    };
    builder.dispatch(draft, (u64::from(count) * u64::from(f.count)).div_ceil(LANES.into()), &params)
}
