//! Boxes of elements copied from one tensor into another: concatenation, the last step, and shares of gradients.

use super::{Launch, TensorId};
use crate::kernels::program::Shader;
use crate::nn::shaders::{self, each};

/// A tensor as `[N, C, L]`, whatever rank it has.
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
    /// What is subtracted from a channel and a position of the box for those it is read from.
    pub(super) from_channel: i32,
    pub(super) from_position: i32,
    pub(super) accumulate: bool,
}

impl Place {
    pub(super) fn launch(self, from: TensorId, to: TensorId) -> Launch {
        let params = shaders::PlaceParams {
            count: self.extent.elements() as u32,
            channels: self.extent.channels,
            length: self.extent.length,
            out_channels: self.to.channels,
            out_length: self.to.length,
            out_channel: self.to_channel,
            out_position: 0,
            in_channels: self.from.channels,
            in_length: self.from.length,
            in_channel: self.from_channel,
            in_position: self.from_position,
            accumulate: self.accumulate.into(),
        };
        each(Shader::new(&shaders::PLACE), params, self.extent.elements(), &[from, to])
    }
}
