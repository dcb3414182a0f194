//! Jobs on their way.

use super::handle::{CancelHandle, Handle, Progress};
use crate::batch::Batch;
use crate::calls;
use crate::element::ElementType;
use crate::error::{Error, ErrorKind, Result};
use crate::output::Output;
use crate::queue::{Queue, EVENTS};
use crate::summary::Summary;
use futures_core::Stream;
use lsio_sys as sys;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

/// A job on its way.
///
/// It is a [`Stream`] of its batches, where it has any, and may be awaited for its [`Summary`]; without async,
/// [`batches`](Job::batches) and [`wait`](Job::wait) are the same. Whoever only waits lets batches go. A job of
/// which nobody takes batches stops when 16 MiB of them wait.
///
/// Dropping a job, or a future of it, cancels it and takes no time. Closures and the output go when its
/// workers are done with them. A job that is leaked goes on, or stands still; what it reads stays in memory
/// that is its own.
pub struct Job<S = ()> {
    handle: Option<Handle>, // None: it is a summary's
    queue: Option<Queue>,
    output: Option<Arc<Output>>,
    element: Option<ElementType>,
    has_value: bool,
    ready: VecDeque<Batch>,
    end: Option<Result<()>>,
    told: bool,
    state: PhantomData<fn() -> S>,
}

impl<S: Send + 'static> Job<S> {
    pub(super) fn new(
        handle: Handle,
        queue: Queue,
        output: Option<Arc<Output>>,
        element: Option<ElementType>,
        has_value: bool,
    ) -> Self {
        Job {
            handle: Some(handle),
            queue: Some(queue),
            output,
            element,
            has_value,
            ready: VecDeque::new(),
            end: None,
            told: false,
            state: PhantomData,
        }
    }

    /// Its number in the context: by it [`Context::trace`](crate::Context::trace) names it.
    pub fn number(&self) -> u64 {
        self.handle.as_ref().map_or(0, Handle::number)
    }

    /// Asks it to stop, and returns at once. It ends with [`ErrorKind::Cancelled`], if it has not ended yet.
    pub fn cancel(&self) {
        if let Some(h) = &self.handle {
            h.cancel();
        }
    }

    /// What cancels it from elsewhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        let Some(handle) = &self.handle else { unreachable!("a job has a handle until it is a summary") };
        CancelHandle(handle.clone())
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let Some(handle) = &self.handle else { unreachable!("a job has a handle until it is a summary") };
        handle.progress()
    }

    /// Its batches, one after the other; waits for them.
    pub fn batches(&mut self) -> Batches<'_, S> {
        Batches(self)
    }

    /// Waits for its end. Batches that nobody has taken are let go.
    pub fn wait(mut self) -> Result<Summary<S>> {
        calls::check_wait()?;
        loop {
            self.ready.clear();
            if self.end.is_some() {
                return self.into_summary();
            }
            self.take(-1);
        }
    }

    /// Its end, as a future: what awaiting the job itself is, where `into_future` could also be a stream's.
    pub fn summary(self) -> JobFuture<S> {
        JobFuture(Some(self))
    }

    /// What there is of it in its queue; false: nothing.
    fn take(&mut self, timeout_ms: i32) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        // SAFETY: zeros are no event.
        let mut events: [sys::lsio_event; EVENTS] = unsafe { std::mem::zeroed() };
        // SAFETY: blocks are taken over below.
        let n = unsafe { queue.take(&mut events, timeout_ms) };
        if n < 0 {
            let forked = n == sys::LSIO_ERR_FORKED;
            let kind = if forked { ErrorKind::Forked } else { ErrorKind::Bug };
            // SAFETY: a static string.
            let text = unsafe { crate::error::text(sys::lsio_strerror(n)) };
            self.end = Some(Err(Error::new(kind, text)));
        }
        for e in &events[..n.max(0) as usize] {
            match e.kind {
                // SAFETY: the event's block is ours.
                sys::LSIO_EVENT_RESULTS => self.ready.push_back(unsafe { Batch::from_c(e, self.element) }),
                sys::LSIO_EVENT_DONE => {
                    // SAFETY: it has ended, and this is the only one that asks.
                    self.end = self.handle.as_ref().map(|h| unsafe { h.end() });
                }
                _ => {} // a step that failed: the summary tells
            }
        }
        n != 0
    }

    /// The next batch; `None` at the end. An error comes once.
    fn next(&mut self) -> Option<Result<Batch>> {
        if let Some(batch) = self.ready.pop_front() {
            return Some(Ok(batch));
        }
        match &self.end {
            Some(Err(e)) if !self.told => {
                self.told = true;
                Some(Err(e.clone()))
            }
            _ => None,
        }
    }

    fn poll_batch(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Batch>>> {
        let mut registered = false;
        loop {
            if let Some(next) = self.next() {
                return Poll::Ready(Some(next));
            }
            if self.end.is_some() {
                return Poll::Ready(None);
            }
            if self.take(0) {
                continue;
            }
            if registered {
                return Poll::Pending;
            }
            // What comes from now on wakes the task; what came before is taken once more.
            if let Some(queue) = &self.queue {
                queue.register(task.waker());
            }
            registered = true;
        }
    }

    fn into_summary(mut self) -> Result<Summary<S>> {
        match self.end.take() {
            Some(Ok(())) => {}
            Some(Err(e)) => return Err(e),
            None => return Err(Error::new(ErrorKind::Busy, "the job is still running")),
        }
        let (Some(handle), output) = (self.handle.take(), self.output.take()) else {
            return Err(Error::new(ErrorKind::Bug, "the job has no handle"));
        };
        // SAFETY: it has ended well, and its hooks are of S.
        Ok(unsafe { Summary::new(handle, output, self.has_value) })
    }
}

impl<S> Drop for Job<S> {
    fn drop(&mut self) {
        let _guard = calls::NoWaiting::new();
        if let Some(handle) = &self.handle {
            handle.cancel();
        }
        self.ready.clear();
        self.queue.take();
        self.handle.take();
    }
}

impl<S> fmt::Debug for Job<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("ended", &self.end.is_some()).finish_non_exhaustive()
    }
}

impl<S: Send + 'static> Stream for Job<S> {
    type Item = Result<Batch>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_batch(task)
    }
}

impl<S: Send + 'static> IntoFuture for Job<S> {
    type Output = Result<Summary<S>>;
    type IntoFuture = JobFuture<S>;

    fn into_future(self) -> JobFuture<S> {
        JobFuture(Some(self))
    }
}

/// The end of a [`Job`]. Batches that nobody has taken are let go.
#[derive(Debug)]
#[must_use = "dropped, it cancels the job"]
pub struct JobFuture<S = ()>(Option<Job<S>>);

impl<S: Send + 'static> Future for JobFuture<S> {
    type Output = Result<Summary<S>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        loop {
            let job = self.0.as_mut().expect("polled once more after its end");
            match job.poll_batch(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => break,
            }
        }
        let job = self.0.take().expect("polled once more after its end");
        Poll::Ready(job.into_summary())
    }
}

/// The batches of a [`Job`], one after the other.
#[derive(Debug)]
pub struct Batches<'a, S = ()>(&'a mut Job<S>);

impl<S: Send + 'static> Iterator for Batches<'_, S> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        if let Err(e) = calls::check_wait() {
            return (!std::mem::replace(&mut self.0.told, true)).then_some(Err(e));
        }
        loop {
            if let Some(next) = self.0.next() {
                return Some(next);
            }
            if self.0.end.is_some() {
                return None;
            }
            self.0.take(-1);
        }
    }
}
