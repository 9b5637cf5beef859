//! The shaders as files.

use crate::Outcome;
use clap::Args;
use std::path::PathBuf;

/// Where to.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder, which is made where it is missing. Files of the same names are replaced
    folder: PathBuf,
}

/// Writes every shader, put together, into a folder.
pub(crate) fn run(options: &Options) -> Outcome {
    let files = conv1d::shader_files().map_err(|e| e.to_string())?;
    for (file, text) in &files {
        let path = options.folder.join(file.strip_prefix("shaders/").unwrap_or(file));
        let told = |e: std::io::Error| format!("{}: {e}", path.display());
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(told)?;
        std::fs::write(&path, text).map_err(told)?;
    }
    say!("{} shaders in {}", files.len(), options.folder.display());
    Ok(true)
}
