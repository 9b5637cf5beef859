//! Files that are whole at any time, as tuning files, pipeline caches and checkpoints are.

use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads a plain file. Others, such as a device, may never end.
///
/// # Errors
/// [`Error::File`] says why it cannot be read.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    plain(path)?;
    fs::read(path).map_err(|e| Error::file(path, e))
}

fn plain(path: &Path) -> Result<()> {
    if path.exists() && !path.is_file() { Err(Error::file(path, "it is not a plain file")) } else { Ok(()) }
}

/// Writes a file beside the one that it then replaces: a program that is killed leaves the old file or the new one, whole, and perhaps
/// a file `NAME.PID-N` beside it. Of a link the target is replaced.
///
/// # Errors
/// [`Error::File`] says why it cannot be written.
///
/// ```
/// let path = std::env::temp_dir().join(format!("conv1d-files-{}", std::process::id()));
/// conv1d::files::write(&path, b"whole")?;
/// assert_eq!(conv1d::files::read(&path)?, b"whole");
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), conv1d::Error>(())
/// ```
pub fn write(path: impl AsRef<Path>, contents: &[u8]) -> Result<()> {
    let path = path.as_ref();
    plain(path)?;
    // Through a link: what it leads to is replaced, not the link.
    let resolved = fs::canonicalize(path);
    let path = resolved.as_deref().unwrap_or(path);
    let mut beside = path.as_os_str().to_owned();
    static WRITES: AtomicU64 = AtomicU64::new(0);
    beside.push(format!(".{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    // On the disk before it has the name: what stops the machine leaves one of the two, whole.
    let write = || {
        let mut file = fs::File::create(&beside)?;
        file.write_all(contents)?;
        file.sync_all()
    };
    let written = write().and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| {
        // What could not be written may not even be there.
        drop(fs::remove_file(&beside));
        Error::file(path, e)
    })
}
