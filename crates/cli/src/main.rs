//! The command line of the library: benchmark, verification, plans and tuning.

/// Prints a line to the standard output.
macro_rules! say {
    ($($line:tt)*) => { $crate::print_line(format_args!($($line)*)) };
}

mod adapters;
mod bench;
mod check;
mod counts;
mod devices;
mod explain;
mod interrupt;
mod layers;
mod operations;
mod planner;
mod shaders;
mod tune;
mod verify;

use clap::{Parser, Subcommand};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// 1-D convolution on the GPU: benchmark against the CPU, and verification against an exact reference.
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
    /// Times GPU and CPU on layers of published models and checks every result (the default)
    Bench(bench::Options),
    /// Runs cases exported from PyTorch with every kernel and checks the promised error bound
    Check(check::Options),
    /// Verifies this adapter on a built-in grid of layers; attach the output to bug reports
    Verify(verify::Options),
    /// Lists the adapters of this machine
    Adapters,
    /// Explains the plan of a layer
    Explain(explain::Options),
    /// Compares the planner's choices in three operations with the best variants, by counts of their dispatches and device models (no GPU is
    /// measured); fails if fewer than nine in ten are within 15 %
    Planner(planner::Options),
    /// Writes all shaders, each with the parts that it uses, into a folder for editors and other tools
    Shaders(shaders::Options),
    /// Measures which kernel is fastest for each layer on this adapter
    Tune(tune::Options),
}

/// Result of a command: whether all checks passed, or the error that stopped it.
type Outcome = Result<bool, String>;

/// Whether a line could not be printed.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

fn print_line(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        // A closed pipe is not an error: `conv1d verify | head`.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => UNPRINTED.store(true, Ordering::Relaxed),
        _ => {}
    }
}

/// Prints an error message. If that fails too, the exit status still reports the failure.
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
        Some(Command::Planner(options)) => planner::run(options),
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
