//! The worked example: a small convolution with its gradients, and every product in their sums.

use crate::Engine;
use conv1d::reference::{Exact, Oracle, Padded};
use conv1d::{Conv1d, Error, Gpu, Operation, Padding, PaddingMode, PlanOptions, Role, Shapes};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

/// Largest number of products that can be shown.
const MOST_TERMS: u64 = 1 << 14;

/// Parameters and data of an example.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// `C_in`.
    pub in_channels: usize,
    /// `C_out`.
    pub out_channels: usize,
    /// K.
    pub kernel_size: usize,
    /// Input samples between neighbouring outputs.
    pub stride: usize,
    /// Input samples between neighbouring taps.
    pub dilation: usize,
    /// Groups of channels.
    pub groups: usize,
    /// In the format that `Padding` parses.
    pub padding: String,
    /// In the format that `PaddingMode` parses.
    pub padding_mode: String,
    /// `[C_in, L]`.
    pub input: Vec<f32>,
    /// `[C_out, C_in/groups, K]`.
    pub weight: Vec<f32>,
    /// `[C_out]`.
    pub bias: Vec<f32>,
    /// `[C_out, L_out]`; missing values are ones.
    pub output_gradient: Vec<f32>,
}

/// An example with its results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// `[C_in, L]`.
    pub input: [usize; 2],
    /// `[C_out, C_in/groups, K]`.
    pub weight: [usize; 3],
    /// `[C_out, L_out]`.
    pub output: [usize; 2],
    /// `[C_out, L_out]`.
    pub output_gradient: Vec<f32>,
    /// The positions of a padded row of the input.
    pub padded: Vec<Cell>,
    /// Every product, in the order of the outputs.
    pub terms: Vec<Term>,
    /// The layer as Rust code.
    pub code: String,
    /// `y`.
    pub forward: Answer,
    /// `dx`.
    pub input_gradient: Answer,
    /// `dw`.
    pub weight_gradient: Answer,
    /// `db`.
    pub bias_gradient: Answer,
}

/// A position of the padded input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// 0 is the first sample.
    pub position: i64,
    /// Index of the sample at this position, or of the sample that padding copies to it.
    pub sample: Option<usize>,
    /// Value of a position without a sample.
    pub constant: f32,
}

/// One product of the convolution: a weight times the value of the padded input at a position. The gradients multiply the same
/// weight and value by the gradient of the same output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Term {
    /// Index into the outputs.
    pub output: usize,
    /// Index into the weights.
    pub weight: usize,
    /// Input channel.
    pub channel: usize,
    /// Position in the padded input.
    pub position: i64,
    /// Index into the inputs, if the position holds a sample.
    pub sample: Option<usize>,
    /// Value at the position.
    pub value: f32,
    /// Weight times value: a term of the output.
    pub forward: f64,
    /// Weight times the output's gradient: a term of the sample's gradient.
    pub input_gradient: f64,
    /// Value times the output's gradient: a term of the weight's gradient.
    pub weight_gradient: f64,
}

/// A result and the exact one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Computed values.
    pub values: Vec<f32>,
    /// Exact values.
    pub exact: Vec<f64>,
    /// Largest promised error of each value.
    pub bound: Vec<f64>,
    /// The kernel variant that computed the values, or `reference`.
    pub by: String,
}

/// An error in the settings.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// The convolution is invalid.
    #[error(transparent)]
    Convolution(#[from] Error),
    /// A value is not a number, infinite, or too large for `f32`.
    #[error("{tensor} has a value that is not a finite number")]
    NotFinite {
        /// The tensor.
        tensor: &'static str,
    },
    /// The example has too many products to show.
    #[error("that makes {terms} products, more than the {MOST_TERMS} that can be shown")]
    TooMuch {
        /// Number of products.
        terms: u64,
    },
}

/// A valid convolution with its data.
#[derive(Debug)]
pub struct Checked {
    conv: Conv1d,
    oracle: Oracle,
    settings: Settings,
}

impl Settings {
    /// Checks the settings. An error if the convolution is invalid, a value is not finite, or there are too many products.
    pub fn check(mut self) -> Result<Checked, Wrong> {
        let padding: Padding = self.padding.parse()?;
        let mode: PaddingMode = self.padding_mode.parse()?;
        let conv = Conv1d::new(self.in_channels, self.out_channels, self.kernel_size)
            .stride(self.stride)
            .dilation(self.dilation)
            .groups(self.groups)
            .padding(padding)
            .padding_mode(mode);
        let length = self.input.len() / self.in_channels.max(1);
        let input = [1, self.in_channels, length];
        let shapes = conv.shapes(input)?;
        let terms = conv.cost(input)?.flops / 2;
        if terms > MOST_TERMS {
            return Err(Wrong::TooMuch { terms });
        }
        let expected = |role: Role| role.shape(&shapes).iter().product::<usize>();
        let [_, channels, length] = shapes.output.ncl();
        if self.output_gradient.len() != expected(Role::Output) {
            // If the length has changed, each channel keeps the values that fit.
            let before = self.output_gradient.len() / channels;
            let fits = self.output_gradient.len() == before * channels;
            let given = |o: usize, i: usize| self.output_gradient.get(o * before + i).filter(|_| fits && i < before);
            let at = |index: usize| given(index / length, index % length).copied().unwrap_or(1.0);
            self.output_gradient = (0..expected(Role::Output)).map(at).collect();
        }
        let constant = if let PaddingMode::Constant(value) = mode { vec![value] } else { Vec::new() };
        for (tensor, values, expected) in [
            ("the input", &self.input, expected(Role::Input)),
            ("the kernel", &self.weight, expected(Role::Weight)),
            ("the bias", &self.bias, expected(Role::Bias)),
            ("the output gradient", &self.output_gradient, expected(Role::Output)),
            ("the padding", &constant, constant.len()),
        ] {
            if values.len() != expected {
                return Err(Error::DataLength { tensor, got: values.len(), expected }.into());
            }
            if !values.iter().all(|v| v.is_finite()) {
                return Err(Wrong::NotFinite { tensor });
            }
        }
        Ok(Checked { conv, oracle: Oracle::new(conv, input)?, settings: self })
    }
}

impl Checked {
    fn shapes(&self) -> &Shapes {
        self.oracle.shapes()
    }

    /// The exact result, by the definition.
    fn exact(&self, operation: Operation) -> conv1d::Result<Vec<Exact>> {
        let Settings { input, weight, bias, output_gradient, .. } = &self.settings;
        match operation {
            Operation::Forward => self.oracle.forward(input, weight, Some(bias)),
            Operation::InputGradient => self.oracle.input_gradient(weight, output_gradient),
            Operation::WeightGradient => self.oracle.weight_gradient(input, output_gradient),
            Operation::BiasGradient => self.oracle.bias_gradient(output_gradient),
            other => {
                let reason = format!("the worked example has no {}", other.name());
                Err(Error::Unsupported { kernel: "reference", reason })
            }
        }
    }

    /// Runs an operation on a device: the values, and the kernel variant that computed them.
    async fn run(&self, gpu: &Gpu, operation: Operation) -> conv1d::Result<(Vec<f32>, String)> {
        let plan = gpu.plan(self.conv, operation, self.shapes().input, &PlanOptions::default())?;
        let mut tensors = Vec::new();
        for role in plan.inputs() {
            let values = match role {
                Role::Input => &self.settings.input,
                Role::Weight => &self.settings.weight,
                Role::Bias => &self.settings.bias,
                _ => &self.settings.output_gradient,
            };
            tensors.push((role, gpu.tensor(values, role.shape(self.shapes()))?));
        }
        let borrowed: Vec<_> = tensors.iter().map(|(role, tensor)| (*role, tensor)).collect();
        let values = gpu.execute(&plan, &borrowed)?.read_async().await?;
        Ok((values, plan.variant().to_string()))
    }

    async fn answer(&self, gpu: Option<&Gpu>, operation: Operation) -> conv1d::Result<Answer> {
        let exact = self.exact(operation)?;
        let (values, by) = match gpu {
            Some(gpu) => self.run(gpu, operation).await?,
            None => (exact.iter().map(|e| e.value as f32).collect(), "reference".to_owned()),
        };
        let (exact, bound) = exact.iter().map(|e| (e.value, e.bound())).unzip();
        Ok(Answer { values, exact, bound, by })
    }

    /// Every product, from the definition of the convolution.
    fn terms(&self, padded: &[Cell]) -> Vec<Term> {
        let Shapes { input, weight: [channels_out, per_group, kernel], output, .. } = *self.shapes();
        let ([_, _, length], [_, _, positions]) = (input.ncl(), output.ncl());
        let Settings { input, weight, output_gradient, groups, stride, dilation, .. } = &self.settings;
        let mut terms = Vec::new();
        for o in 0..channels_out {
            for i in 0..positions {
                for c in 0..per_group {
                    for k in 0..kernel {
                        let channel = o / (channels_out / groups) * per_group + c;
                        let cell = &padded[i * stride + k * dilation];
                        let sample = cell.sample.map(|sample| channel * length + sample);
                        let (output, tap) = (o * positions + i, (o * per_group + c) * kernel + k);
                        let value = sample.map_or(cell.constant, |sample| input[sample]);
                        let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
                        terms.push(Term {
                            output,
                            weight: tap,
                            channel,
                            position: cell.position,
                            sample,
                            value,
                            forward: product(weight[tap], value),
                            input_gradient: product(weight[tap], output_gradient[output]),
                            weight_gradient: product(value, output_gradient[output]),
                        });
                    }
                }
            }
        }
        terms
    }

    /// The layer as Rust code, for [`Example::code`].
    fn code(&self) -> String {
        let c = &self.conv;
        let mut code = format!("Conv1d::new({}, {}, {})", c.in_channels, c.out_channels, c.kernel_size);
        for (name, value) in [("stride", c.stride), ("dilation", c.dilation), ("groups", c.groups)] {
            if value != 1 {
                code += &format!(".{name}({value})");
            }
        }
        if c.padding != Padding::Valid {
            code += &format!(".padding(Padding::{:?})", c.padding);
        }
        if c.padding_mode != PaddingMode::Zeros {
            code += &format!(".padding_mode(PaddingMode::{:?})", c.padding_mode);
        }
        code
    }

    /// Computes the results on a device or, without one, by the reference.
    pub async fn solve(&self, gpu: Option<&Gpu>) -> conv1d::Result<Example> {
        let padded: Vec<Cell> = self
            .oracle
            .padded()
            .map(|(position, padded)| match padded {
                Padded::Sample(sample) => Cell { position, sample: Some(sample), constant: 0.0 },
                Padded::Constant(constant) => Cell { position, sample: None, constant },
                Padded::Nothing => Cell { position, sample: None, constant: 0.0 },
            })
            .collect();
        let Shapes { input, weight, output, .. } = *self.shapes();
        let ([_, in_channels, length], [_, out_channels, positions]) = (input.ncl(), output.ncl());
        Ok(Example {
            input: [in_channels, length],
            weight,
            output: [out_channels, positions],
            output_gradient: self.settings.output_gradient.clone(),
            terms: self.terms(&padded),
            padded,
            code: self.code(),
            forward: self.answer(gpu, Operation::Forward).await?,
            input_gradient: self.answer(gpu, Operation::InputGradient).await?,
            weight_gradient: self.answer(gpu, Operation::WeightGradient).await?,
            bias_gradient: self.answer(gpu, Operation::BiasGradient).await?,
        })
    }
}

#[wasm_bindgen]
impl Engine {
    /// The [`Example`] of [`Settings`], computed by the device.
    #[wasm_bindgen(js_name = workedExample)]
    pub async fn worked_example(&self, settings: JsValue) -> Result<JsValue, JsError> {
        solved(settings, Some(&self.gpu)).await
    }
}

/// The [`Example`] of [`Settings`], computed by the reference, for browsers without WebGPU.
#[wasm_bindgen(js_name = referenceExample)]
pub async fn reference_example(settings: JsValue) -> Result<JsValue, JsError> {
    solved(settings, None).await
}

async fn solved(settings: JsValue, gpu: Option<&Gpu>) -> Result<JsValue, JsError> {
    let settings: Settings = serde_wasm_bindgen::from_value(settings)?;
    let example = settings.check()?.solve(gpu).await?;
    Ok(serde_wasm_bindgen::to_value(&example)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            in_channels: 1,
            out_channels: 1,
            kernel_size: 3,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: "valid".into(),
            padding_mode: "zeros".into(),
            input: vec![1.0, 2.0, 3.0, 4.0, 5.0],
            weight: vec![1.0, 0.0, -1.0],
            bias: vec![0.0],
            output_gradient: Vec::new(),
        }
    }

    fn solve(settings: Settings) -> Example {
        pollster::block_on(settings.check().unwrap().solve(None)).unwrap()
    }

    #[test]
    fn the_worked_example() {
        let example = solve(settings());
        assert_eq!(example.forward.values, [-2.0, -2.0, -2.0]);
        assert_eq!(example.input_gradient.values, [1.0, 1.0, 0.0, -1.0, -1.0]);
        assert_eq!(example.weight_gradient.values, [6.0, 9.0, 12.0]);
        assert_eq!(example.bias_gradient.values, [3.0]);
        assert_eq!(example.code, "Conv1d::new(1, 1, 3)");
    }

    /// The terms shown for a sum add up to it, for all parameters.
    #[test]
    fn terms_add_up_to_the_exact_values() {
        let mut seen = 0;
        for (groups, stride, dilation) in [(1, 1, 1), (1, 2, 1), (2, 1, 2), (2, 3, 2)] {
            for padding in ["valid", "same", "same-lower", "causal", "anti-causal", "full", "3,1"] {
                for mode in ["zeros", "constant=2.5", "reflect", "symmetric", "replicate", "circular"] {
                    let numbers = |count: usize, seed: usize| -> Vec<f32> {
                        (0..count).map(|i| ((i * 7 + seed) % 11) as f32 - 5.0).collect()
                    };
                    let settings = Settings {
                        in_channels: 4,
                        out_channels: 6,
                        groups,
                        stride,
                        dilation,
                        padding: padding.into(),
                        padding_mode: mode.into(),
                        input: numbers(4 * 9, 1),
                        weight: numbers(6 * 4 / groups * 3, 2),
                        bias: numbers(6, 3),
                        ..settings()
                    };
                    let length = settings.clone().check().unwrap().shapes().output[2];
                    let example = solve(Settings { output_gradient: numbers(6 * length, 4), ..settings.clone() });
                    let mut sums = [
                        settings.bias.iter().flat_map(|&b| vec![f64::from(b); length]).collect(),
                        vec![0.0; settings.input.len()],
                        vec![0.0; settings.weight.len()],
                    ];
                    for term in &example.terms {
                        sums[0][term.output] += term.forward;
                        if let Some(sample) = term.sample {
                            sums[1][sample] += term.input_gradient;
                        }
                        sums[2][term.weight] += term.weight_gradient;
                    }
                    let answers = [&example.forward, &example.input_gradient, &example.weight_gradient];
                    assert_eq!(sums.each_ref(), answers.map(|answer| &answer.exact), "{settings:?}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 4 * 7 * 6);
    }

    #[test]
    fn output_gradients_of_another_length_keep_what_fits() {
        let given = |output_gradient: Vec<f32>, out_channels: usize| {
            let weight = [1.0, 0.0, -1.0].repeat(out_channels);
            let bias = vec![0.0; out_channels];
            solve(Settings { output_gradient, out_channels, weight, bias, ..settings() }).output_gradient
        };
        assert_eq!(given(vec![2.0, 3.0], 1), [2.0, 3.0, 1.0]);
        assert_eq!(given(vec![2.0, 3.0, 4.0, 5.0], 1), [2.0, 3.0, 4.0]);
        assert_eq!(given(vec![2.0, 3.0, 4.0, 5.0], 2), [2.0, 3.0, 1.0, 4.0, 5.0, 1.0]);
        assert_eq!(given(vec![2.0, 3.0, 4.0], 2), [1.0; 6]);
    }

    #[test]
    fn what_cannot_be_shown_is_an_error() {
        let wrong = |settings: Settings| settings.check().unwrap_err().to_string();
        assert_eq!(wrong(Settings { groups: 2, ..settings() }), "groups 2 does not divide in_channels 1");
        assert_eq!(wrong(Settings { in_channels: 0, ..settings() }), "in_channels must be at least 1, got 0");
        assert_eq!(wrong(Settings { weight: vec![1.0], ..settings() }), "the kernel has 1 values, its shape needs 3");
        let infinite = Settings { bias: vec![f32::INFINITY], ..settings() };
        assert_eq!(wrong(infinite), "the bias has a value that is not a finite number");
        let endless = Settings { padding_mode: "constant=inf".into(), ..settings() };
        assert_eq!(wrong(endless), "the padding has a value that is not a finite number");
        let much = Settings { padding: "9999".into(), ..settings() };
        assert_eq!(wrong(much), "that makes 60003 products, more than the 16384 that can be shown");
        let unknown = Settings { padding_mode: "mirror".into(), ..settings() };
        assert!(wrong(unknown).starts_with("no padding mode is called \"mirror\""));
    }
}
