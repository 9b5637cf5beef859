//! Adding the input gradient of copied padding to the samples it was copied from.

use super::params::params;
use super::program::{Binding, Builder, Source, Window};
use crate::error::Result;
use crate::lowering::{Fold, Operand, Role, Slot};
use std::mem::offset_of;
use std::ops::Range;

pub(crate) static SOURCE: Source =
    Source { name: "fold", wgsl: include_str!("../../shaders/fold.wgsl"), params: FoldParams::FIELDS };

params! {
    /// `Params` of `fold.wgsl`.
    FoldParams {
        workgroups: u32, rows: u32, count: u32, terms: u32, border_base: u32, border_length: u32, border_step: i32,
        term_step: u32, out_base: u32, out_length: u32,
    }
}

/// Invocations of a workgroup.
const LANES: u32 = 64;

/// Appends the dispatches: one for as many rows as fit a binding and as many terms as may be added up.
pub(crate) fn emit(f: &Fold, builder: &mut Builder<'_>) -> Result<()> {
    let longest = u64::from(f.length.max(f.border_length));
    let at_once = (builder.caps.max_window() / longest).clamp(1, f.rows.into()) as u32;
    let max_terms = builder.caps.max_terms(1);
    for first_row in (0..f.rows).step_by(at_once as usize) {
        let rows = first_row..first_row + at_once.min(f.rows - first_row);
        for first_term in (0..f.terms).step_by(max_terms as usize) {
            let terms = max_terms.min(f.terms - first_term);
            emit_part(
                &Fold { border_first: f.border_first + first_term * f.term_step, terms, ..*f },
                rows.clone(),
                builder,
            )?;
        }
    }
    Ok(())
}

fn emit_part(f: &Fold, rows: Range<u32>, builder: &mut Builder<'_>) -> Result<()> {
    let count = rows.end - rows.start;
    let span = |length: u32, last: u32| u64::from(count - 1) * u64::from(length) + u64::from(last);
    let output = Window {
        start: u64::from(rows.start) * u64::from(f.length) + u64::from(f.first),
        length: span(f.length, f.count),
    };
    // Of each row what one side has: from the lowest to the highest sample that is read.
    let far = i64::from(f.border_first) + i64::from(f.count - 1) * i64::from(f.border_step);
    let lowest = far.min(f.border_first.into()) as u32;
    let highest = far.max(f.border_first.into()) as u32 + (f.terms - 1) * f.term_step + 1;
    let border = Window {
        start: u64::from(rows.start) * u64::from(f.border_length) + u64::from(lowest),
        length: span(f.border_length, highest - lowest),
    };
    let bindings = vec![
        Binding::slot(Slot::Border, border, offset_of!(FoldParams, border_base)),
        Binding::new(Operand::Role(Role::InputGradient), output, offset_of!(FoldParams, out_base)),
    ];
    let workgroups = (u64::from(count) * u64::from(f.count)).div_ceil(LANES.into());
    builder.dispatch(&SOURCE, &[], workgroups, bindings, |workgroups| {
        bytemuck::bytes_of(&FoldParams {
            workgroups,
            rows: count,
            count: f.count,
            terms: f.terms,
            border_base: f.border_first - lowest,
            border_length: f.border_length,
            border_step: f.border_step,
            term_step: f.term_step,
            out_base: 0,
            out_length: f.length,
        })
        .to_vec()
    })
}
