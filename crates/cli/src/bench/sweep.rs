//! Jobs of the benchmark: the layers of a suite, or the points of a sweep over one size of a layer.

use super::compare::Run;
use super::results::Point;
use crate::layers::Selection;
use clap::ValueEnum;
use conv1d::PaddingMode;
use conv1d::suite::LayerSpec;

/// A layer to measure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    pub(super) spec: LayerSpec,
    /// The sweep point, if the layer is part of a sweep.
    pub(super) point: Option<Point>,
    /// Input shape `[N, C_in, L]` to use, regardless of the time budget.
    pub(super) input: Option<[usize; 3]>,
}

/// A size to sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Axis {
    /// Length of the input: 256 to 65,536 samples
    Length,
    /// Batch size: 1 to 64
    Batch,
    /// Channels in and out: 8 to 512
    Channels,
    /// Taps of the kernel: 1 to 129
    Kernel,
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Axis::Length => "length",
            Axis::Batch => "batch",
            Axis::Channels => "channels",
            Axis::Kernel => "kernel",
        }
    }

    fn values(self) -> Vec<usize> {
        match self {
            Axis::Length => (8..=16).map(|power| 1 << power).collect(),
            Axis::Batch => (0..=6).map(|power| 1 << power).collect(),
            Axis::Channels => (3..=9).map(|power| 1 << power).collect(),
            Axis::Kernel => std::iter::once(1).chain((1..=7).map(|power| (1 << power) + 1)).collect(),
        }
    }

    /// The layer with this size. A new kernel size comes with padding that keeps the length of a layer of stride 1.
    fn apply(self, base: &LayerSpec, value: usize) -> LayerSpec {
        let mut spec = LayerSpec { name: format!("{} {value} of {}", self.name(), base.name), ..base.clone() };
        match self {
            Axis::Length => spec.l = value,
            Axis::Batch => spec.n = value,
            Axis::Channels => {
                // Depthwise stays depthwise.
                spec.groups = if base.groups > 1 && base.groups == base.c_in { value } else { 1 };
                (spec.c_in, spec.c_out) = (value, value);
            }
            Axis::Kernel => {
                let border = spec.dilation * (value - 1);
                (spec.k, spec.pad_left, spec.pad_right) = (value, border / 2, border - border / 2);
            }
        }
        spec
    }
}

/// Base layer of a sweep if no layer is selected: 64 to 64 channels, three taps, 1024 samples.
fn base() -> LayerSpec {
    LayerSpec {
        name: "a dense layer".to_owned(),
        n: 1,
        c_in: 64,
        l: 1024,
        c_out: 64,
        k: 3,
        stride: 1,
        pad_left: 1,
        pad_right: 1,
        dilation: 1,
        groups: 1,
        transposed: false,
        output_padding: 0,
        padding_mode: PaddingMode::Zeros,
    }
}

/// The layers to measure. A layer of an earlier run gets the same input as in that run.
pub(super) fn jobs(selection: &Selection, axes: &[Axis], earlier: Option<&Run>) -> Result<Vec<Job>, String> {
    if axes.is_empty() {
        let job = |spec: LayerSpec| Job { input: earlier.and_then(|run| run.input_of(&spec)), spec, point: None };
        return Ok(selection.layers()?.into_iter().map(job).collect());
    }
    let bases = if selection.is_everything() { vec![base()] } else { selection.layers()? };
    if let Some(spec) = bases.iter().find(|spec| spec.transposed) {
        return Err(format!("{}: transposed convolutions are not swept", spec.name));
    }
    let points = |base: &LayerSpec, axis: Axis| {
        let point = |value| Point { axis: axis.name().to_owned(), value, of: base.name.clone() };
        let job = |value| {
            let spec = axis.apply(base, value);
            // A shrunk input would be a different point.
            Job { input: Some(spec.input()), spec, point: Some(point(value)) }
        };
        // Skips sizes that are invalid for the layer, for example reflected padding longer than the input.
        axis.values().into_iter().map(job).filter(|job| job.spec.layer().is_ok()).collect::<Vec<_>>()
    };
    Ok(bases.iter().flat_map(|base| axes.iter().flat_map(move |&axis| points(base, axis))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_a_layer_of_that_size() {
        for axis in Axis::value_variants() {
            for value in axis.values() {
                let spec = axis.apply(&base(), value);
                let (_, shapes) = spec.layer().unwrap();
                assert_eq!(shapes.output[2], spec.l, "{}", spec.name);
                let got = match axis {
                    Axis::Length => shapes.input[2],
                    Axis::Batch => shapes.input[0],
                    Axis::Channels => shapes.input[1],
                    Axis::Kernel => shapes.weight[2],
                };
                assert_eq!(got, value);
            }
        }
        let depthwise = LayerSpec { groups: 64, ..base() };
        assert_eq!(Axis::Channels.apply(&depthwise, 16).groups, 16);
        // A single channel is dense.
        let single = LayerSpec { c_in: 1, c_out: 1, ..base() };
        assert_eq!(Axis::Channels.apply(&single, 16).groups, 1);
    }
}
