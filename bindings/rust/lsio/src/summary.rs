//! What has come of a job.

use crate::array::Array;
use crate::element::Element;
use crate::error::{text, Error, Result};
use crate::hooks::State;
use crate::job::{Handle, Progress};
use crate::output::Output;
use crate::value::{Held, Value};
use lsio_sys as sys;
use std::fmt;
use std::ptr;
use std::sync::Arc;

/// What has come of a job that has ended well.
pub struct Summary<S = ()> {
    handle: Handle,
    output: Option<Arc<Output>>,
    state: Option<S>,
    value: Option<Result<Value>>,
    progress: Progress,
    exit_code: i32,
    error_count: u64,
    errors: Vec<Error>,
}

impl<S: Send + 'static> Summary<S> {
    /// # Safety
    /// The job has ended well, nobody else asks it for more than its progress, and its states, if it has
    /// closures that merge them, are of `S`.
    pub(crate) unsafe fn new(handle: Handle, output: Option<Arc<Output>>, has_value: bool) -> Self {
        let raw = handle.raw();
        let state = sys::lsio_job_state(raw).cast::<State<S>>();
        let error_count = sys::lsio_job_error_count(raw);
        let errors = (0..error_count.min(100) as usize)
            .map(|i| sys::lsio_job_step_error(raw, i))
            .take_while(|e| !e.is_null())
            .map(|e| Error::from_c(e));
        Summary {
            output,
            state: if state.is_null() { None } else { (*state).value.take() },
            value: has_value.then(|| value_of(raw)),
            progress: handle.progress(),
            exit_code: sys::lsio_job_exit_code(raw),
            error_count,
            errors: errors.collect(),
            handle,
        }
    }

    /// The state that all workers' were merged into; `None` if the job has no [`state`](crate::JobBuilder::state).
    pub fn state(&self) -> Option<&S> {
        self.state.as_ref()
    }

    /// The same, to keep.
    pub fn into_state(self) -> Option<S> {
        self.state
    }

    /// What a job in Lua has left as its state: a map by the names of its fields.
    pub fn value(&self) -> Result<&Value> {
        match &self.value {
            Some(Ok(v)) => Ok(v),
            Some(Err(e)) => Err(e.clone()),
            None => Err(Error::usage("the job has no state in Lua")),
        }
    }

    /// The vector that was the job's [`output`](crate::JobBuilder::output).
    pub fn into_output<T: Element>(self) -> Result<Vec<T>> {
        let mut array = no_array();
        // SAFETY: the struct has its size.
        let used = match unsafe { sys::lsio_job_output(self.handle.raw(), &mut array) } {
            0 => array.bytes / T::TYPE.size(),
            _ => usize::MAX,
        };
        let output = self.output.ok_or_else(|| Error::usage("the job was given no output"))?;
        // SAFETY: the job has ended well.
        let mut v = unsafe { Output::into_vec::<T>(output) }?;
        v.truncate(used);
        Ok(v)
    }

    /// The array that LSIO has made for the results; see [`collect`](crate::JobBuilder::collect).
    pub fn into_array(self) -> Result<Array> {
        if self.output.is_some() {
            return Err(Error::usage("the results are in the job's output: into_output"));
        }
        let mut array = no_array();
        // SAFETY: this summary is the only one that asks; the array is handed over.
        unsafe {
            match sys::lsio_job_take_output(self.handle.raw(), &mut array) {
                0 => Ok(Array::from_c(array)),
                _ => Err(Error::usage("the job has no result in memory")),
            }
        }
    }

    /// Steps that have ended well.
    pub fn steps(&self) -> u64 {
        self.progress.steps()
    }

    /// Steps that were left out, for they failed.
    pub fn steps_failed(&self) -> u64 {
        self.progress.steps_failed()
    }

    /// Figures at the end.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How many steps have failed.
    pub fn error_count(&self) -> u64 {
        self.error_count
    }

    /// Why: of those with the lowest steps, at most 100.
    pub fn errors(&self) -> &[Error] {
        &self.errors
    }

    /// What the command line would exit with: 0 done, 1 with steps left out, 9 after a deadline.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }

    /// All figures as JSON: counts, bytes, times, what bounded the job, each worker's part.
    pub fn json(&mut self) -> String {
        // SAFETY: `&mut self`: nobody else asks.
        unsafe { text(sys::lsio_job_summary_json(self.handle.raw())) }
    }

    /// The same for people, in a paragraph.
    pub fn text(&mut self) -> String {
        // SAFETY: as above.
        unsafe { text(sys::lsio_job_summary_text(self.handle.raw())) }
    }

    /// How the request was planned, for people.
    pub fn explain(&mut self) -> String {
        // SAFETY: as above.
        unsafe { text(sys::lsio_job_explain(self.handle.raw(), 0)) }
    }
}

pub(crate) fn no_array() -> sys::lsio_array {
    // SAFETY: zeros are an empty array.
    let mut array: sys::lsio_array = unsafe { std::mem::zeroed() };
    array.struct_size = std::mem::size_of::<sys::lsio_array>();
    array
}

unsafe fn value_of(raw: *const sys::lsio_job) -> Result<Value> {
    let (mut out, mut error) = (ptr::null_mut(), ptr::null_mut());
    match sys::lsio_job_state_value(raw, &mut out, &mut error) {
        0 => Ok(Held::from_c(out)?.value()),
        code => Err(Error::take(error, code)),
    }
}

impl<S> fmt::Debug for Summary<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary")
            .field("steps", &self.progress.steps())
            .field("steps_failed", &self.progress.steps_failed())
            .finish_non_exhaustive()
    }
}
