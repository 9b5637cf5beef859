//! What Ctrl-C does: the first asks to come to an end, the second ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Exit status of programs that were interrupted.
const INTERRUPTED: i32 = 130;

/// From now on [`requested`] says whether an end was asked for.
pub(crate) fn listen() {
    let first = || {
        if REQUESTED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        eprintln!("\nstopping after this sample; once more to stop at once");
    };
    // Where there is no way to listen, Ctrl-C ends the program as ever.
    drop(ctrlc::set_handler(first));
}

pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
