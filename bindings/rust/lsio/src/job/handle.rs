//! References to jobs of C's.

use crate::calls;
use crate::context::Context;
use crate::error::Error;
use lsio_sys as sys;
use std::fmt;
use std::time::Duration;

/// A reference to a job. What it is used for is thread-safe, but for what `raw` is given to.
#[derive(Debug)]
pub(crate) struct Handle {
    raw: *mut sys::lsio_job,
    context: Option<Context>, // goes behind the job
}

// SAFETY: lsio_cancel, lsio_job_progress, lsio_job_retain and lsio_job_release may be called from any thread;
// the rest is for who has the job or the summary by `&mut` or as its own.
unsafe impl Send for Handle {}
unsafe impl Sync for Handle {}

impl Handle {
    /// # Safety
    /// `raw` is a reference that is handed over, of a job in that context.
    pub(crate) unsafe fn from_c(raw: *mut sys::lsio_job, context: Context) -> Self {
        Handle { raw, context: Some(context) }
    }

    pub(crate) fn raw(&self) -> *mut sys::lsio_job {
        self.raw
    }

    pub(crate) fn cancel(&self) {
        // SAFETY: thread-safe.
        unsafe { sys::lsio_cancel(self.raw) };
    }

    pub(crate) fn number(&self) -> u64 {
        // SAFETY: it never changes.
        unsafe { sys::lsio_job_number(self.raw) }
    }

    pub(crate) fn progress(&self) -> Progress {
        let mut raw = sys::lsio_progress {
            struct_size: std::mem::size_of::<sys::lsio_progress>(),
            ..Default::default()
        };
        // SAFETY: thread-safe; the struct has its size.
        unsafe { sys::lsio_job_progress(self.raw, &mut raw) };
        Progress(raw)
    }

    /// What has ended the job, if it has not ended well.
    ///
    /// # Safety
    /// The job has ended, and no other thread asks.
    pub(crate) unsafe fn end(&self) -> Result<(), Error> {
        match sys::lsio_job_status(self.raw) {
            0 => Ok(()),
            code => Err(match sys::lsio_job_error(self.raw) {
                e if e.is_null() => Error::take(std::ptr::null_mut(), code), // a fork's
                e => Error::from_c(e),
            }),
        }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        // SAFETY: thread-safe.
        unsafe { sys::lsio_job_retain(self.raw) };
        Handle { raw: self.raw, context: self.context.clone() }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _guard = calls::NoWaiting::new();
        // SAFETY: this reference is ours.
        unsafe { sys::lsio_job_release(self.raw) };
        self.context.take();
    }
}

/// Cancels a job, from any thread. It keeps the job's context.
#[derive(Debug, Clone)]
pub struct CancelHandle(pub(crate) Handle);

impl CancelHandle {
    /// Asks the job to stop, and returns at once. Its end follows.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// How far the job is.
    pub fn progress(&self) -> Progress {
        self.0.progress()
    }
}

/// How far a job is.
#[derive(Clone, Copy)]
pub struct Progress(sys::lsio_progress);

impl Progress {
    /// Steps that have ended well.
    pub fn steps(&self) -> u64 {
        self.0.steps
    }

    /// Steps that have failed.
    pub fn steps_failed(&self) -> u64 {
        self.0.steps_failed
    }

    /// Steps of the request, once they are known.
    pub fn steps_requested(&self) -> Option<u64> {
        Some(self.0.steps_requested).filter(|&n| n != u64::MAX && self.0.began != 0)
    }

    /// Stored bytes of steps that have ended.
    pub fn bytes(&self) -> u64 {
        self.0.bytes_done
    }

    /// Stored bytes of the request, once they are known.
    pub fn bytes_requested(&self) -> Option<u64> {
        Some(self.0.bytes_requested).filter(|&n| n != 0)
    }

    /// Since its workers started; when they have ended, the time from start to end.
    pub fn elapsed(&self) -> Duration {
        Duration::try_from_secs_f64(self.0.elapsed_s).unwrap_or_default()
    }

    /// Bytes of results that wait to be taken, or that the program holds in batches.
    pub fn held_bytes(&self) -> u64 {
        self.0.held_bytes
    }

    /// Workers that wait with results until some are taken.
    pub fn stalled(&self) -> u32 {
        self.0.stalled
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("steps", &self.steps())
            .field("steps_failed", &self.steps_failed())
            .field("steps_requested", &self.steps_requested())
            .field("bytes", &self.bytes())
            .field("bytes_requested", &self.bytes_requested())
            .field("elapsed", &self.elapsed())
            .field("held_bytes", &self.held_bytes())
            .field("stalled", &self.stalled())
            .finish()
    }
}
