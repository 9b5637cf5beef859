//! The command line of the library: benchmark, verification, plans.

/// Prints a line.
macro_rules! say {
    ($($line:tt)*) => { $crate::print_line(format_args!($($line)*)) };
}

mod adapters;
mod bench;
mod check;
mod explain;
mod interrupt;
mod layers;
mod operations;
mod shaders;
mod tune;
mod verify;

use clap::{Parser, Subcommand};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Writes all shaders into a folder, each with the parts that it uses, for editors
    Shaders(shaders::Options),
    /// Measures which kernel is fastest for each layer on this adapter
    Tune(tune::Options),
}

/// What a command comes to: whether all promises were kept, or why it could not run.
type Outcome = Result<bool, String>;

/// Whether something could not be printed.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

fn print_line(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        // A reader that has gone away is no error: `conv1d verify | head`.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => UNPRINTED.store(true, Ordering::Relaxed),
        _ => {}
    }
}

/// Where even this cannot be printed, the exit status remains.
fn complain(message: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "conv1d: {message}"));
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.command {
        None => bench::run(&arguments.bench),
        Some(Command::Bench(options)) => bench::run(options),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Verify(options)) => verify::run(options),
        Some(Command::Adapters) => adapters::run(),
        Some(Command::Explain(options)) => explain::run(options),
        Some(Command::Shaders(options)) => shaders::run(options),
        Some(Command::Tune(options)) => tune::run(options),
    };
    match outcome {
        Ok(_) if UNPRINTED.load(Ordering::Relaxed) => {
            complain("not everything could be written to the standard output")
        }
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => complain(&message),
    }
}
