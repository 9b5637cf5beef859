//! Handling of Ctrl-C: the first stops the run after the current sample, the second ends the program.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit status of an interrupted program.
const INTERRUPTED: i32 = 130;
/// Signals closer together than this count as one.
const DOUBLE: Duration = Duration::from_millis(300);

/// Installs the handler; from then on [`requested`] reports whether Ctrl-C was pressed.
pub(crate) fn listen() {
    let mut first: Option<Instant> = None;
    let interrupted = move || {
        match first {
            // Programs that forward the signal may send it twice at once.
            Some(earlier) if earlier.elapsed() > DOUBLE => std::process::exit(INTERRUPTED),
            Some(_) => {}
            None => {
                first = Some(Instant::now());
                REQUESTED.store(true, Ordering::Relaxed);
                drop(writeln!(std::io::stderr(), "\nstopping after this sample; press Ctrl-C again to stop at once"));
            }
        }
    };
    // If the handler cannot be installed, Ctrl-C ends the program as usual.
    drop(ctrlc::set_handler(interrupted));
}

pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
