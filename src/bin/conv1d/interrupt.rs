//! What Ctrl-C does: the first asks to come to an end, the second ends the program.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit status of programs that were interrupted.
const INTERRUPTED: i32 = 130;
/// Signals this close together are one.
const DOUBLE: Duration = Duration::from_millis(300);

/// From now on [`requested`] says whether an end was asked for.
pub(crate) fn listen() {
    let mut first: Option<Instant> = None;
    let interrupted = move || {
        match first {
            // Programs that pass the signal on may do so twice at once.
            Some(earlier) if earlier.elapsed() > DOUBLE => std::process::exit(INTERRUPTED),
            Some(_) => {}
            None => {
                first = Some(Instant::now());
                REQUESTED.store(true, Ordering::Relaxed);
                drop(writeln!(std::io::stderr(), "\nstopping after this sample; once more to stop at once"));
            }
        }
    };
    // Where there is no way to listen, Ctrl-C ends the program as ever.
    drop(ctrlc::set_handler(interrupted));
}

pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
