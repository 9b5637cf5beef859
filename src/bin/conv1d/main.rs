//! The command line of the library: benchmark, verification, plans.

/// Prints a line. A reader that has gone away is no error: `conv1d verify | head`.
macro_rules! say {
    ($($line:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($line)*))))
    };
}

mod adapters;
mod bench;
mod check;
mod explain;
mod interrupt;
mod layers;
mod trial;
mod tune;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// 1-D convolution on the GPU: benchmark against the processor, and verification against an exact reference.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    bench: bench::Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Times GPU against CPU on layers of published models, every result checked (the default)
    Bench(bench::Options),
    /// Runs cases exported from PyTorch with every kernel and compares to the promised bound
    Check(check::Options),
    /// Verifies this adapter over a built-in grid of layers, to send with a bug report
    Verify(verify::Options),
    /// Lists the adapters of this machine
    Adapters,
    /// Explains the plan for a layer
    Explain(explain::Options),
    /// Measures which kernel is fastest for each layer on this adapter
    Tune(tune::Options),
}

/// What a command comes to: whether all promises were kept, or why it could not run.
type Outcome = Result<bool, String>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        None => bench::run(&arguments.bench),
        Some(Command::Bench(options)) => bench::run(options),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Verify(options)) => verify::run(options),
        Some(Command::Adapters) => adapters::run(),
        Some(Command::Explain(options)) => explain::run(options),
        Some(Command::Tune(options)) => tune::run(options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("conv1d: {message}");
            ExitCode::FAILURE
        }
    }
}
