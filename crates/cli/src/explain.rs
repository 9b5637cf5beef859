//! `conv1d explain`: the plan of a layer.

use crate::{Outcome, counts, devices, operations, tune};
use clap::{Args, ValueEnum};
use conv1d::{
    Activation, Caps, Conv1d, ConvTranspose1d, Gpu, Layer, Operation, Padding, PaddingMode, Plan, PlanOptions, Residual,
};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Input shape `N,C_in,L` or `C_in,L`
    #[arg(long, value_delimiter = ',', num_args = 1, required = true)]
    input: Vec<usize>,
    /// `C_out`
    #[arg(long)]
    out_channels: usize,
    /// K
    #[arg(long)]
    kernel_size: usize,
    #[arg(long, default_value_t = 1)]
    stride: usize,
    #[arg(long, default_value_t = 1)]
    dilation: usize,
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// A number, LEFT,RIGHT, or valid, same, same-lower, causal, anti-causal, full
    #[arg(long, default_value = "valid")]
    padding: Padding,
    /// zeros, constant=VALUE, reflect, symmetric, replicate or circular
    #[arg(long, default_value = "zeros")]
    padding_mode: PaddingMode,
    /// Allow padding longer than the input, continued as numpy.pad does
    #[arg(long)]
    unbounded_padding: bool,
    /// Plan a transposed convolution
    #[arg(long)]
    transposed: bool,
    #[arg(long, default_value_t = 0)]
    output_padding: usize,
    /// Operation to plan
    #[arg(long, value_parser = operations::parser(&Operation::ALL), default_value = "forward")]
    op: Operation,
    /// Activation in the same dispatch: identity, relu, leaky-relu=SLOPE, silu, gelu, tanh or sigmoid
    #[arg(long, default_value = "identity", value_parser = activation)]
    activation: Activation,
    /// Where to add a residual in the same dispatch
    #[arg(long, value_enum, default_value_t = Where::None)]
    residual: Where,
    /// Use only this kernel (direct) or this variant of one (direct/4x4)
    #[arg(long)]
    kernel: Option<String>,
    /// Largest workspace of the plan in MiB
    #[arg(long)]
    workspace_mib: Option<u64>,
    /// Plan for this device instead of the machine's adapter: webgpu, software, integrated or discrete (with the limits that WebGPU
    /// guarantees), or a model such as rtx-4090
    #[arg(long, value_parser = devices::caps)]
    device: Option<Caps>,
    /// Choose kernels by the times in this file, which `conv1d tune` measured on this machine's adapter
    #[arg(long, value_name = "FILE", conflicts_with = "device")]
    tuning: Option<PathBuf>,
    /// Print the specialised shaders instead
    #[arg(long)]
    wgsl: bool,
    /// Run the dispatches in an interpreter, and print what they do: idle lanes, memory sectors, bank conflicts, faults, and the time on
    /// the device's model
    #[arg(long, conflicts_with = "wgsl")]
    counts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Where {
    /// Nowhere
    None,
    /// Before the activation
    Before,
    /// After the activation
    After,
}

fn activation(name: &str) -> Result<Activation, String> {
    Ok(match name {
        "identity" => Activation::Identity,
        "relu" => Activation::Relu,
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        _ => match name.strip_prefix("leaky-relu=").map(str::parse) {
            Some(Ok(slope)) => Activation::LeakyRelu(slope),
            _ => return Err("expected identity, relu, leaky-relu=SLOPE, silu, gelu, tanh or sigmoid".into()),
        },
    })
}

pub(crate) fn run(options: &Options) -> Outcome {
    let (&[_, channels, _] | &[channels, _]) = options.input.as_slice() else {
        return Err(format!("--input has {} numbers, expected N,C_in,L or C_in,L", options.input.len()));
    };
    let (layer, receptive_field): (Layer, u64) = if options.transposed {
        if options.padding_mode != PaddingMode::Zeros {
            return Err("a transposed convolution has no padding mode".into());
        }
        let conv = ConvTranspose1d::new(channels, options.out_channels, options.kernel_size)
            .stride(options.stride)
            .dilation(options.dilation)
            .groups(options.groups)
            .padding(options.padding)
            .output_padding(options.output_padding);
        // An output depends on the inputs of one stride phase.
        (conv.into(), conv.span().div_ceil(conv.stride.max(1) as u64))
    } else {
        if options.output_padding > 0 {
            return Err("--output-padding needs --transposed".into());
        }
        let conv = Conv1d::new(channels, options.out_channels, options.kernel_size)
            .stride(options.stride)
            .dilation(options.dilation)
            .groups(options.groups)
            .padding(options.padding)
            .padding_mode(options.padding_mode)
            .unbounded_padding(options.unbounded_padding);
        (conv.into(), conv.span())
    };
    let operation = options.op;
    let mut plan_options = PlanOptions::default();
    plan_options.kernel.clone_from(&options.kernel);
    if let Some(mib) = options.workspace_mib {
        plan_options.workspace_bytes = mib.saturating_mul(1 << 20);
    }
    let fused = layer.activation(options.activation).residual(match options.residual {
        Where::None => Residual::None,
        Where::Before => Residual::BeforeActivation,
        Where::After => Residual::AfterActivation,
    });
    // Checks the layer before a device is opened: an invalid layer is invalid on every device.
    let cost = layer.cost(&options.input).map_err(|e| e.to_string())?;
    let plan = match options.device {
        Some(caps) => Plan::new(fused, operation, &options.input, &caps, &plan_options),
        None => {
            let gpu = Gpu::new().map_err(|e| format!("{e}; --device webgpu plans without one"))?;
            if let Some(path) = &options.tuning {
                tune::apply(&gpu, path)?;
            }
            gpu.plan(fused, operation, &options.input, &plan_options)
        }
    };
    let plan = plan.map_err(|e| e.to_string())?;
    if options.wgsl {
        for (name, text) in plan.shaders().map_err(|e| e.to_string())? {
            say!("// {name}.wgsl\n{text}");
        }
        return Ok(true);
    }
    say!("{}", format!("{plan:#}").trim_end());
    if options.tuning.is_some() && plan.candidates().iter().all(|c| c.measured.is_none()) {
        say!("  the tuning file has no times for this operation, layer and input");
    }
    say!("  one forward pass: {:.4} GFLOP, at least {:.3} MB moved", cost.flops as f64 / 1e9, cost.bytes as f64 / 1e6);
    say!("  arithmetic intensity: {:.1} FLOP/byte", cost.arithmetic_intensity());
    say!("  parameters: {} with bias, filters: {}", cost.parameters, cost.filters);
    say!("  receptive field: {receptive_field} samples");
    if options.counts {
        return counts::print(&plan);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_by_name() {
        assert_eq!(activation("gelu"), Ok(Activation::Gelu));
        assert_eq!(activation("leaky-relu=0.1"), Ok(Activation::LeakyRelu(0.1)));
        assert!(activation("leaky-relu").is_err());
        assert!(activation("swish").is_err());
    }
}
