//! A plan as text: its operation, its candidates, and the reason for the choice.

use super::{Candidate, Plan};
use crate::caps::DeviceClass;
use crate::geometry::{Activation, Operation, Residual, Shapes};
use crate::kernels::Prediction;
use crate::kernels::program::Resource;
use crate::lowering::{Operand, Role};
use crate::reference::gamma;
use std::fmt;

/// Most dispatches that are shown one by one.
const MOST_DISPATCHES: usize = 12;

/// `{plan}` is one line: operation, shapes, kernel, dispatches. `{plan:#}` has all lines: the dispatches one by one, the
/// candidates with their predicted times, and the reason for the choice.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            let Shapes { input, weight, output, .. } = self.shapes;
            let operation = self.operation.name();
            write!(f, "{operation} of {input:?} with {weight:?} to {output:?}: ")?;
            return self.summary(f);
        }
        self.operation_lines(f)?;
        self.dispatch_lines(f)?;
        self.candidate_lines(f)?;
        self.reason(f)
    }
}

impl Plan {
    fn operation_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shapes { input, weight, output, .. } = self.shapes;
        let kind = if self.layer().is_transposed() { "transposed convolution" } else { "convolution" };
        write!(f, "{} of a {kind}", self.operation.name())?;
        match self.fused.activation {
            Activation::Identity => {}
            Activation::LeakyRelu(slope) => write!(f, ", activation leaky-relu={slope}")?,
            activation => write!(f, ", activation {}", format!("{activation:?}").to_lowercase())?,
        }
        match self.fused.residual {
            Residual::None => writeln!(f)?,
            Residual::BeforeActivation => writeln!(f, ", residual before the activation")?,
            Residual::AfterActivation => writeln!(f, ", residual after the activation")?,
        }
        writeln!(f, "  input {input:?}, weight {weight:?}, output {output:?}")?;
        match self.fused.saved() {
            Some(Role::PreActivation) if self.operation == Operation::Forward => writeln!(
                f,
                "  gradients will need the pre-activation, which this plan writes if a buffer is given for it"
            ),
            Some(role) if self.operation == Operation::Forward => {
                writeln!(f, "  gradients will need {}", role.name())
            }
            Some(role) => writeln!(f, "  needs {} of the forward pass", role.name()),
            None => Ok(()),
        }
    }

    /// Kernel, dispatches and workspace.
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.dispatches();
        let dispatches = if count == 1 { "dispatch" } else { "dispatches" };
        let device = match self.caps.class {
            DeviceClass::Software => "a software device",
            DeviceClass::Integrated => "an integrated device",
            DeviceClass::Discrete => "a discrete device",
            DeviceClass::Unknown => "an unknown device",
        };
        let workspace = size(self.workspace_bytes());
        write!(f, "{} on {device}, {count} {dispatches}, {workspace} of workspace", self.variant)
    }

    fn dispatch_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.dispatches();
        write!(f, "  ")?;
        self.summary(f)?;
        writeln!(f)?;
        for dispatch in self.program.dispatches.iter().take(MOST_DISPATCHES) {
            let [x, y] = dispatch.workgroups;
            let once = if dispatch.packs.is_some() { ", once per weight" } else { "" };
            let bytes: u64 = dispatch
                .bindings
                .iter()
                .filter(|b| matches!(b.resource, Resource::Operand(Operand::Role(_))))
                .map(|b| b.range.length * 4)
                .sum();
            let name = dispatch.shader.name();
            writeln!(f, "    {name}: {x} x {y} workgroups over {} of tensors{once}", size(bytes))?;
        }
        match count.saturating_sub(MOST_DISPATCHES) {
            0 => {}
            more => writeln!(f, "    and {more} more")?,
        }
        match self.order() {
            Some(order) => writeln!(f, "  order of the terms of an element: {order}")?,
            None => writeln!(f, "  the order of the terms differs from element to element")?,
        }
        self.promise_lines(f)
    }

    /// The promised error bound.
    fn promise_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (chain, forward) = (self.chain(), self.operation == Operation::Forward);
        let through = self.fused.activation != Activation::Identity;
        // A gradient through an activation rounds each term twice more.
        let roundings = chain + 1 + if through && !forward { 2 } else { 0 };
        let share = gamma(roundings);
        let plural = if chain == 1 { "" } else { "s" };
        write!(f, "  a term passes through at most {chain} addition{plural}: ")?;
        match share {
            f64::INFINITY => writeln!(f, "no error bound is promised from 2^24 on")?,
            _ => writeln!(
                f,
                "the error is at most gamma({roundings}) = {share:.1e} of the sum of the magnitudes of the terms"
            )?,
        }
        if through && !forward {
            writeln!(f, "  (two of these are the roundings of the derivative and of the product with it)")?;
        }
        match (self.fused.activation, forward) {
            (Activation::Identity | Activation::Relu | Activation::LeakyRelu(_), _) => Ok(()),
            (activation, true) => writeln!(
                f,
                "  the activation of the computed sum is within 2^-20 of its exact value; it multiplies an error of the sum by at most {}",
                activation.steepest()
            ),
            (_, false) => writeln!(f, "  the derivative is within 2^-20 of the sum of the magnitudes of its terms"),
        }
    }

    fn candidate_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.candidates.iter().any(|c| c.measured.is_some());
        let order = if measured { "by measured time, then by prediction" } else { "by prediction" };
        writeln!(f, "  candidates, the fastest first, {order}; milliseconds, and the share of the device kept busy")?;
        writeln!(f, "  (a tile is output channels x positions of an invocation, x invocations along channels)")?;
        write!(f, "    {:<16}", "variant")?;
        if measured {
            write!(f, "{:>10}", "measured")?;
        }
        write!(f, "{:>10}", "predicted")?;
        let heads = Prediction::NEVER.parts().map(|(name, _)| name);
        heads.iter().try_for_each(|name| write!(f, "{name:>10}"))?;
        writeln!(f, "{:>7}", "busy")?;
        for candidate in &self.candidates {
            write!(f, "    {:<16}", candidate.variant.to_string())?;
            match candidate.measured {
                Some(seconds) => write!(f, "{:>10.3}", seconds * 1e3)?,
                None if measured => write!(f, "{:>10}", "")?,
                None => {}
            }
            write!(f, "{:>10.3}", candidate.predicted.seconds() * 1e3)?;
            let parts = candidate.predicted.parts();
            parts.iter().try_for_each(|(_, seconds)| write!(f, "{:>10.3}", seconds * 1e3))?;
            write!(f, "{:>6.0}%", candidate.predicted.busy * 100.0)?;
            match &candidate.refused {
                Some(error) => writeln!(f, "  refused: {error}")?,
                None if candidate.variant == self.variant => writeln!(f, "  chosen")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    /// Why the variant was chosen: where the best of the other kernels spends more time.
    fn reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = |c: &&Candidate| c.refused.is_none();
        let Some(chosen) = self.candidates.iter().find(|c| c.variant == self.variant) else { return Ok(()) };
        let other = self.candidates.iter().filter(open).find(|c| c.variant.kernel != self.variant.kernel);
        let Some(other) = other else {
            return writeln!(f, "  {}: no other kernel could be chosen", self.variant);
        };
        let (times, how) = match (chosen.measured, other.measured) {
            (Some(chosen), Some(other)) => (other / chosen, "took"),
            (Some(_), None) => {
                return writeln!(f, "  {}: measured on this adapter; no other kernel was measured", self.variant);
            }
            _ => (other.predicted.seconds() / chosen.predicted.seconds(), "is predicted to take"),
        };
        write!(
            f,
            "  {}: {}, the best of the other kernels, {how} {times:.2} times as long",
            self.variant, other.variant
        )?;
        let more = other.predicted.parts().into_iter().zip(chosen.predicted.parts());
        let more = more.map(|((name, other), (_, chosen))| (name, other - chosen));
        match more.max_by(|a, b| a.1.total_cmp(&b.1)) {
            Some((name, seconds)) if seconds > 0.0 => {
                writeln!(f, ", mostly by {:.3} ms more of {name}", seconds * 1e3)
            }
            _ => writeln!(f),
        }
    }
}

/// Bytes in a readable unit.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
