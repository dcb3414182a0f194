//! A queue of C's, of one job, and the waker of who waits for it.

use crate::calls;
use crate::context::Context;
use crate::error::{Error, Result};
use lsio_sys as sys;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex};
use std::task::Waker;

#[derive(Debug, Default)]
struct Slot(Mutex<Option<Waker>>);

/// Whoever has one has its context as well, and lets go of it behind the queue.
#[derive(Debug)]
pub(crate) struct Queue {
    raw: *mut sys::lsio_queue,
    slot: Arc<Slot>,
}

// SAFETY: one consumer at a time, by `&mut`; all else is thread-safe.
unsafe impl Send for Queue {}
unsafe impl Sync for Queue {}

pub(crate) const EVENTS: usize = 16;

impl Queue {
    pub(crate) fn new(context: &Context) -> Result<Self> {
        let slot = Arc::new(Slot::default());
        let options = sys::lsio_queue_options {
            struct_size: std::mem::size_of::<sys::lsio_queue_options>(),
            flags: 0,
            reserved: 0,
            notify: Some(notify),
            notify_user: Arc::into_raw(Arc::clone(&slot)).cast_mut().cast(),
            notify_destroy: Some(notify_destroy),
        };
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the slot lives until notify_destroy.
        unsafe {
            let code = sys::lsio_queue_create(context.raw(), &options, &mut raw, &mut error);
            if code != 0 {
                drop(Arc::from_raw(options.notify_user.cast_const().cast::<Slot>()));
                return Err(Error::take(error, code));
            }
        }
        Ok(Queue { raw, slot })
    }

    pub(crate) fn raw(&self) -> *mut sys::lsio_queue {
        self.raw
    }

    /// From now on it is this one that is woken. What has come before is not told again: take behind it.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut slot = self.slot.0.lock().unwrap_or_else(|e| e.into_inner());
        if !slot.as_ref().is_some_and(|w| w.will_wake(waker)) {
            let before = slot.replace(waker.clone());
            drop(slot);
            drop(before); // under no lock: it may be anything
        }
    }

    /// What there is, waiting for it up to so many milliseconds (-1: for ever). Negative: an error.
    ///
    /// # Safety
    /// Blocks in events are the caller's, errors in them last until the next call.
    pub(crate) unsafe fn take(&mut self, events: &mut [sys::lsio_event; EVENTS], timeout_ms: i32) -> i32 {
        sys::lsio_queue_take(self.raw, events.as_mut_ptr(), EVENTS, timeout_ms)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _guard = calls::NoWaiting::new();
        let waker = self.slot.0.lock().unwrap_or_else(|e| e.into_inner()).take();
        // SAFETY: this reference is ours. C calls notify_destroy when it is done with the slot.
        unsafe { sys::lsio_queue_release(self.raw) };
        drop(waker);
    }
}

unsafe extern "C" fn notify(user: *mut c_void) {
    let _ = calls::from_c(|| {
        let slot = &*user.cast_const().cast::<Slot>();
        let waker = slot.0.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    });
}

unsafe extern "C" fn notify_destroy(user: *mut c_void) {
    let _ = calls::from_c(|| drop(Arc::from_raw(user.cast_const().cast::<Slot>())));
}
