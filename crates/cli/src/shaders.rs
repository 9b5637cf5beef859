//! `conv1d shaders`: writes the shaders as files.

use crate::Outcome;
use clap::Args;
use std::path::PathBuf;

/// Destination of the files.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Output folder, created if missing; files of the same names are replaced
    folder: PathBuf,
}

/// Writes every shader, with the parts that it uses, into the folder.
pub(crate) fn run(options: &Options) -> Outcome {
    let kernels = conv1d::shader_files().map_err(|e| e.to_string())?;
    let networks = conv1d_nn::shader_files().map_err(|e| e.to_string())?;
    let files: Vec<(String, String)> =
        kernels.into_iter().map(|(file, text)| (file.to_owned(), text)).chain(networks).collect();
    for (file, text) in &files {
        let path = options.folder.join(file.strip_prefix("shaders/").unwrap_or(file));
        let told = |e: std::io::Error| format!("{}: {e}", path.display());
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(told)?;
        std::fs::write(&path, text).map_err(told)?;
    }
    say!("{} shaders in {}", files.len(), options.folder.display());
    Ok(true)
}
