//! Reading of files, and writing by atomic replacement: for tuning files, pipeline caches and checkpoints.

use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads a plain file. Other files are refused: a device, for example, may never end.
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

/// Writes a temporary file `NAME.PID-N` in the same folder and renames it to `path`. If the program is killed, `path` is the complete
/// old file or the complete new one, and the temporary file may remain. If `path` is a link, its target is replaced.
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
    // The target of a link is replaced, not the link.
    let resolved =
        fs::canonicalize(path).or_else(|_| fs::read_link(path).map(|target| path.with_file_name("").join(target)));
    let path = resolved.as_deref().unwrap_or(path);
    let permissions = fs::metadata(path).map(|old| old.permissions()).ok();
    let mut beside = path.as_os_str().to_owned();
    static WRITES: AtomicU64 = AtomicU64::new(0);
    beside.push(format!(".{}-{}", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    // Synced to disk before the rename: after a crash of the machine, the old or the new file is complete.
    let write = || {
        let mut file = fs::File::create(&beside)?;
        if let Some(permissions) = &permissions {
            file.set_permissions(permissions.clone())?;
        }
        file.write_all(contents)?;
        file.sync_all()
    };
    let written = write().and_then(|()| fs::rename(&beside, path));
    written.map_err(|e| {
        // After a failed write the temporary file may not exist.
        drop(fs::remove_file(&beside));
        Error::file(path, e)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A file keeps its permissions; the target of a link is written, also if it does not exist yet.
    #[test]
    fn links_and_permissions_stay() {
        let folder = std::env::temp_dir().join(format!("conv1d-links-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("file"), folder.join("link"));
        symlink("file", &link).unwrap();
        write(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&file).unwrap(), b"new");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        write(&link, b"newer").unwrap();
        assert_eq!(
            (read(&file).unwrap(), file.metadata().unwrap().permissions().mode() & 0o777),
            (b"newer".to_vec(), 0o600)
        );
        fs::remove_dir_all(&folder).unwrap();
    }
}
