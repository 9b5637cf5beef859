//! Copies of boxes of elements between tensors: for concatenation, the last step, and sums of gradients.

use crate::launch::{Launch, TensorId};
use crate::shaders::{PLACE, each, shader};

/// The shape of a tensor of any rank as `[N, C, L]`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Box3 {
    pub(super) batch: u32,
    pub(super) channels: u32,
    pub(super) length: u32,
}

impl Box3 {
    pub(super) fn of(shape: &[usize]) -> Box3 {
        let [batch, channels] = [0, 1].map(|i| shape.get(i).copied().unwrap_or(1) as u32);
        let length = shape.get(2..).unwrap_or_default().iter().map(|&d| d as u32).product();
        Box3 { batch, channels, length }
    }

    pub(super) fn elements(self) -> u64 {
        u64::from(self.batch) * u64::from(self.channels) * u64::from(self.length)
    }
}

/// A box of elements copied from one tensor into another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// Size of the box.
    pub(super) extent: Box3,
    pub(super) to: Box3,
    pub(super) to_channel: u32,
    pub(super) from: Box3,
    /// Subtracted from a channel of the box to get the channel of `from`; `from_position` likewise for positions.
    pub(super) from_channel: i32,
    pub(super) from_position: i32,
    pub(super) accumulate: bool,
}

impl Place {
    pub(super) fn launch(self, from: TensorId, to: TensorId) -> Launch {
        let values = vec![
            ("count", (self.extent.elements() as u32).into()),
            ("channels", self.extent.channels.into()),
            ("length", self.extent.length.into()),
            ("out_channels", self.to.channels.into()),
            ("out_length", self.to.length.into()),
            ("out_channel", self.to_channel.into()),
            ("in_channels", self.from.channels.into()),
            ("in_length", self.from.length.into()),
            ("in_channel", self.from_channel.into()),
            ("in_position", self.from_position.into()),
            ("accumulate", u32::from(self.accumulate).into()),
        ];
        each(shader(&PLACE), values, self.extent.elements(), &[("input", from), ("output", to)])
    }
}
