//! A job's closures, as the functions that C calls.

use crate::calls;
use crate::step::{say, Step, StepEnd};
use lsio_sys as sys;
use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

pub(crate) type StepFn<S> = Box<dyn Fn(&Step<'_>, &mut S) -> StepEnd + Send + Sync>;
pub(crate) type InitFn<S> = Box<dyn Fn() -> S + Send + Sync>;
pub(crate) type MergeFn<S> = Box<dyn Fn(&mut S, S) + Send + Sync>;
pub(crate) type FinishFn<S> = Box<dyn Fn(&mut S) -> StepEnd + Send + Sync>;

/// Handed over to C with the job, which gives it back by `release`.
pub(crate) struct Hooks<S> {
    pub(crate) step: StepFn<S>,
    pub(crate) init: InitFn<S>,
    pub(crate) merge: Option<MergeFn<S>>,
    pub(crate) finish: Option<FinishFn<S>>,
    pub(crate) keep: Option<fn(&S) -> S>,
    /// What a closure said that has panicked. It, and the state that it left half-done, are not used again:
    /// later steps fail, and so does `finish`, which ends the job even where failed steps are skipped.
    panic: OnceLock<String>,
}

/// A worker's state. Taken out where it is merged into another, or goes to the program.
pub(crate) struct State<S> {
    pub(crate) value: Option<S>,
    kept: Option<S>,
}

impl<S: Send + 'static> Hooks<S> {
    pub(crate) fn new(step: StepFn<S>, init: InitFn<S>) -> Self {
        Hooks { step, init, merge: None, finish: None, keep: None, panic: OnceLock::new() }
    }

    /// Handed over with the job: from now on C calls `release` for it.
    pub(crate) fn into_c(self) -> sys::lsio_transform {
        let (merges, keeps) = (self.merge.is_some(), self.keep.is_some());
        sys::lsio_transform {
            struct_size: std::mem::size_of::<sys::lsio_transform>(),
            user: Box::into_raw(Box::new(self)).cast(),
            open_worker: Some(open_worker::<S>),
            step: Some(step::<S>),
            finish: Some(finish::<S>),
            close: Some(close::<S>),
            release: Some(release::<S>),
            state_size: 0,
            state_align: 0,
            merge: merges.then_some(merge::<S>),
            save: keeps.then_some(save::<S>),
            undo: keeps.then_some(undo::<S>),
        }
    }

    /// Runs a closure; what it says of a panic is kept.
    fn call<R>(&self, body: impl FnOnce() -> Result<R, (i32, String)>) -> Result<R, (i32, String)> {
        if let Some(text) = self.panic.get() {
            return Err((sys::LSIO_ERR_TRANSFORM, text.clone()));
        }
        calls::from_c(body).unwrap_or_else(|text| {
            let _ = self.panic.set(text.clone());
            Err((sys::LSIO_ERR_TRANSFORM, text))
        })
    }
}

const OTHER_STATE: &str =
    "the script has a state of its own, which a closure can't have: give the job a `state`, \
                           and the script none";
const NO_STATE: (i32, &str) = (sys::LSIO_ERR_BUG, "the state of a worker is gone");

unsafe fn told(end: Result<(), (i32, String)>, message: *mut c_char, size: usize) -> i32 {
    match end {
        Ok(()) => 0,
        Err((code, text)) => {
            say(message, size, &text);
            code
        }
    }
}

unsafe extern "C" fn open_worker<S: Send + 'static>(
    user: *mut c_void,
    _worker: u32,
    state: *mut *mut c_void,
    message: *mut c_char,
    size: usize,
) -> i32 {
    let hooks = &*user.cast_const().cast::<Hooks<S>>();
    // C's own memory, which holds what a script has declared, and no `State`.
    if !(*state).is_null() {
        return told(Err((sys::LSIO_ERR_UNSUPPORTED, OTHER_STATE.into())), message, size);
    }
    let end = hooks.call(|| {
        let made = State { value: Some((hooks.init)()), kept: None };
        *state = Box::into_raw(Box::new(made)).cast();
        Ok(())
    });
    told(end, message, size)
}

unsafe extern "C" fn step<S: Send + 'static>(raw: *const sys::lsio_step, state: *mut c_void) -> i32 {
    let raw = &*raw;
    let hooks = &*raw.user.cast_const().cast::<Hooks<S>>();
    let seen = Step::new(raw);
    let Some(value) = (*state.cast::<State<S>>()).value.as_mut() else {
        return seen.fail(NO_STATE.0, NO_STATE.1);
    };
    let end = hooks.call(|| (hooks.step)(&seen, value));
    seen.end(end)
}

unsafe extern "C" fn finish<S: Send + 'static>(
    user: *mut c_void,
    state: *mut c_void,
    message: *mut c_char,
    size: usize,
) -> i32 {
    let hooks = &*user.cast_const().cast::<Hooks<S>>();
    let end = hooks.call(|| {
        let Some(f) = &hooks.finish else { return Ok(()) };
        let value = (*state.cast::<State<S>>()).value.as_mut();
        f(value.ok_or_else(|| (NO_STATE.0, NO_STATE.1.to_owned()))?).map(drop)
    });
    told(end, message, size)
}

unsafe extern "C" fn merge<S: Send + 'static>(
    user: *mut c_void,
    into: *mut c_void,
    from: *mut c_void,
    message: *mut c_char,
    size: usize,
) -> i32 {
    let hooks = &*user.cast_const().cast::<Hooks<S>>();
    let end = hooks.call(|| {
        let lost = || (NO_STATE.0, NO_STATE.1.to_owned());
        let into = (*into.cast::<State<S>>()).value.as_mut().ok_or_else(lost)?;
        let from = (*from.cast::<State<S>>()).value.take().ok_or_else(lost)?;
        if let Some(f) = &hooks.merge {
            f(into, from);
        }
        Ok(())
    });
    told(end, message, size)
}

unsafe extern "C" fn save<S: Send + 'static>(user: *mut c_void, state: *mut c_void) {
    let hooks = &*user.cast_const().cast::<Hooks<S>>();
    let state = &mut *state.cast::<State<S>>();
    let _ = hooks.call(|| {
        if let (Some(keep), Some(value)) = (hooks.keep, &state.value) {
            state.kept = Some(keep(value));
        }
        Ok(())
    });
}

unsafe extern "C" fn undo<S: Send + 'static>(user: *mut c_void, state: *mut c_void) {
    let hooks = &*user.cast_const().cast::<Hooks<S>>();
    let state = &mut *state.cast::<State<S>>();
    let _ = hooks.call(|| {
        if let Some(kept) = state.kept.take() {
            state.value = Some(kept);
        }
        Ok(())
    });
}

unsafe extern "C" fn close<S: Send + 'static>(_user: *mut c_void, state: *mut c_void) {
    let _ = calls::from_c(|| drop(Box::from_raw(state.cast::<State<S>>())));
}

unsafe extern "C" fn release<S: Send + 'static>(user: *mut c_void) {
    let _ = calls::from_c(|| drop(Box::from_raw(user.cast::<Hooks<S>>())));
}
