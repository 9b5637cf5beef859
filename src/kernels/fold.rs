//! Adding the input gradient of copied padding to the samples it was copied from.

use super::params::params;
use super::program::{Binding, Builder, Source, Window};
use crate::error::Result;
use crate::lowering::{Fold, Operand, Role, Slot};
use std::mem::offset_of;

pub(crate) static SOURCE: Source =
    Source { name: "fold", wgsl: include_str!("../../shaders/fold.wgsl"), params: FoldParams::FIELDS };

params! {
    /// `Params` of `fold.wgsl`.
    FoldParams {
        workgroups: u32, rows: u32, count: u32, terms: u32, border_base: u32, border_length: u32, border_step: i32,
        out_base: u32, out_length: u32,
    }
}

/// Invocations of a workgroup.
const LANES: u32 = 64;

/// Appends the dispatches: one for as many rows as fit a binding.
pub(crate) fn emit(f: &Fold, builder: &mut Builder<'_>) -> Result<()> {
    let longest = u64::from(f.length.max(f.border_length));
    let at_once = (builder.caps.max_window() / longest).clamp(1, f.rows.into()) as u32;
    for first_row in (0..f.rows).step_by(at_once as usize) {
        let rows = at_once.min(f.rows - first_row);
        let span = |length: u32, count: u32| u64::from(rows - 1) * u64::from(length) + u64::from(count);
        let start = |length: u32, first: u32| u64::from(first_row) * u64::from(length) + u64::from(first);
        let output = Window { start: start(f.length, f.first), length: span(f.length, f.count) };
        let border = Window { start: start(f.border_length, 0), length: span(f.border_length, f.border_length) };
        let bindings = vec![
            Binding::slot(Slot::Border, border, offset_of!(FoldParams, border_base)),
            Binding::new(Operand::Role(Role::InputGradient), output, offset_of!(FoldParams, out_base)),
        ];
        let workgroups = (u64::from(rows) * u64::from(f.count)).div_ceil(LANES.into());
        builder.dispatch(&SOURCE, &[], workgroups, bindings, |workgroups| {
            bytemuck::bytes_of(&FoldParams {
                workgroups,
                rows,
                count: f.count,
                terms: f.terms,
                border_base: f.border_first,
                border_length: f.border_length,
                border_step: f.border_step,
                out_base: 0,
                out_length: f.length,
            })
            .to_vec()
        })?;
    }
    Ok(())
}
