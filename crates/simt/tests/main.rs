//! The integration tests: one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod counts;
mod faults;
mod fidelity;
mod hostile;
mod ladder;
mod ordinary;
mod random;
mod values;

use conv1d_simt::{Buffer, Dispatch, Report, Shader};

/// A shader of a text that must compile.
fn shader(wgsl: &str) -> Shader {
    Shader::new(wgsl).unwrap_or_else(|error| panic!("{error}\n{wgsl}"))
}

/// Runs a dispatch with buffers of words bound to variables.
fn run(wgsl: &str, workgroups: [u32; 3], buffers: &[(&str, &[u32])]) -> Report {
    let shader = shader(wgsl);
    bound(&shader, workgroups, buffers).run().unwrap()
}

/// A dispatch with buffers of words bound to variables.
fn bound<'s>(shader: &'s Shader, workgroups: [u32; 3], buffers: &[(&str, &[u32])]) -> Dispatch<'s> {
    let dispatch = Dispatch::new(shader, workgroups);
    buffers.iter().fold(dispatch, |dispatch, &(name, words)| dispatch.bind(name, Buffer::new(words.to_vec())))
}

/// The words of a buffer after a dispatch.
fn words(report: &Report, variable: &str) -> Vec<u32> {
    let buffer = report.buffer(variable).unwrap();
    (0..buffer.len()).map(|i| buffer.word(i)).collect()
}

/// The bits of floats.
fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}
