//! Calls from C: they never unwind, and what they drop must not wait for the thread that they run on.

use crate::error::Error;
use std::any::Any;
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// While it is there this thread must not wait for threads of a context.
pub(crate) struct NoWaiting(());

impl NoWaiting {
    pub(crate) fn new() -> Self {
        let _ = DEPTH.try_with(|d| d.set(d.get() + 1));
        NoWaiting(())
    }
}

impl Drop for NoWaiting {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|d| d.set(d.get() - 1));
    }
}

pub(crate) fn may_wait() -> bool {
    DEPTH.try_with(|d| d.get() == 0).unwrap_or(true)
}

/// Before a wait for a job: a thread of LSIO's may be the one that the job waits for.
pub(crate) fn check_wait() -> Result<(), Error> {
    if may_wait() {
        return Ok(());
    }
    Err(Error::usage(
        "a closure, or what is called by a job, can't wait for a job: its thread may be the one that this \
         waits for. Submit it, and wait for it elsewhere",
    ))
}

/// Runs what C has called; a panic is its text.
///
/// What a panic leaves half-done is the caller's affair: it must not be used again.
pub(crate) fn from_c<R>(body: impl FnOnce() -> R) -> Result<R, String> {
    let _guard = NoWaiting::new();
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let text = panic_text(&*payload);
        // Dropping what was thrown may panic once more.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
        text
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let said = said.or_else(|| payload.downcast_ref::<String>().cloned());
    format!("panicked: {}", said.as_deref().unwrap_or("with something that is no text"))
}
