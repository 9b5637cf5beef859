//! Cases with results computed by PyTorch, from `tests/goldens`.

use conv1d::reference::Exact;
use conv1d::{Conv1d, ConvTranspose1d, Layer, Padding, PaddingMode};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) id: String,
    stride: usize,
    dilation: usize,
    groups: usize,
    pad_left: usize,
    pad_right: usize,
    padding_mode: String,
    transposed: bool,
    output_padding: usize,
    batched: bool,
    tensors: std::collections::BTreeMap<String, Vec<usize>>,
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "what is compiled in has no name"))]
    pub(crate) file: PathBuf,
}

impl Golden {
    pub(crate) fn layer(&self) -> Layer {
        let padding = Padding::Explicit { left: self.pad_left, right: self.pad_right };
        let mode: PaddingMode = self.padding_mode.parse().unwrap();
        let (w, channels) = (&self.tensors["w"], self.tensors["x"].iter().rev().nth(1).copied().unwrap());
        if self.transposed {
            ConvTranspose1d::new(channels, w[1] * self.groups, w[2])
                .stride(self.stride)
                .dilation(self.dilation)
                .groups(self.groups)
                .padding(padding)
                .output_padding(self.output_padding)
                .into()
        } else {
            Conv1d::new(channels, w[0], w[2])
                .stride(self.stride)
                .dilation(self.dilation)
                .groups(self.groups)
                .padding(padding)
                .padding_mode(mode)
                .into()
        }
    }

    pub(crate) fn input(&self) -> [usize; 3] {
        match self.tensors["x"][..] {
            [n, c, l] if self.batched => [n, c, l],
            [c, l] if !self.batched => [1, c, l],
            ref other => panic!("{}: input {other:?}", self.id),
        }
    }
}

pub(crate) fn tensor(file: &SafeTensors<'_>, id: &str, name: &str) -> Option<Vec<f32>> {
    let view = file.tensor(&format!("{id}/{name}")).ok()?;
    Some(view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
}

/// Allowed distance from a golden value, which was itself rounded to `f32`: the bound plus half a unit in its last place.
pub(crate) fn rounded(golden: f32, exact: &Exact) -> f64 {
    exact.bound() + f64::from(golden.abs()) * f64::from(f32::EPSILON) / 2.0 + f64::from(f32::MIN_POSITIVE)
}
