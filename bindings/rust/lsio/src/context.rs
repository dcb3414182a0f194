//! Contexts: the threads, rings and memory that jobs share.

use crate::calls;
use crate::error::{Error, Result};
use crate::job::JobBuilder;
use crate::source::Source;
use lsio_sys as sys;
use std::ffi::{c_char, c_int, c_void, CString};
use std::fmt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

/// How grave a message is.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `print` in a job's script.
    Print,
    /// `lsio.log` in a job's script.
    Info,
    /// LSIO's own.
    Warning,
}

type Log = dyn Fn(LogLevel, &str) + Send + Sync;

pub(crate) struct Inner {
    raw: NonNull<sys::lsio_context>,
    without_env: bool,
    log: Option<Box<Box<Log>>>,
}

// SAFETY: a context may be used from any threads at once, but for its destruction, which is the last one's.
unsafe impl Send for Inner {}
unsafe impl Sync for Inner {}

struct Last(NonNull<sys::lsio_context>, #[allow(dead_code)] Option<Box<Box<Log>>>);
// SAFETY: nobody else has the context any more.
unsafe impl Send for Last {}

impl Last {
    fn destroy(self) {
        // SAFETY: jobs, queues and scripts hold the context, so they are gone. The log goes behind it.
        unsafe { sys::lsio_context_destroy(self.0.as_ptr()) };
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let last = Last(self.raw, self.log.take());
        if calls::may_wait() {
            return last.destroy();
        }
        // It waits for jobs that are still to end. A thread that these jobs may need, or one that drops a
        // job and is promised that this takes no time, must not.
        let slot = Arc::new(Mutex::new(Some(last)));
        let taken = Arc::clone(&slot);
        let destroy = move || {
            if let Some(last) = taken.lock().unwrap_or_else(|e| e.into_inner()).take() {
                last.destroy();
            }
        };
        if std::thread::Builder::new().name("lsio-destroy".into()).spawn(destroy).is_err() {
            // The context goes on for ever, and with it what it says goes to.
            std::mem::forget(slot.lock().unwrap_or_else(|e| e.into_inner()).take());
        }
    }
}

/// Where jobs live: threads, rings and memory, which are kept from one job to the next.
///
/// A clone is the same context. It goes when all clones, jobs, scripts and handles of it have gone; batches
/// and arrays may stay longer. The last one to be dropped waits for jobs that were dropped and have not
/// ended; not so if that is a job, or happens within a closure of one: then a thread is started for that.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

/// Settings of a [`Context`]; see [`Context::builder`].
#[derive(Default)]
#[must_use]
pub struct ContextBuilder {
    settings: Vec<String>,
    flags: u32,
    trace_events: u32,
    log: Option<Box<Log>>,
}

impl ContextBuilder {
    /// The threads that it has at most. By default as many as CPUs.
    pub fn workers(self, n: usize) -> Self {
        self.setting("workers", n)
    }

    /// Bytes for the buffers of all its jobs. By default 1 GiB, or a quarter of what is available.
    pub fn memory(self, bytes: u64) -> Self {
        self.setting("memory", bytes)
    }

    /// How files are read: "auto", "uring", "pread".
    pub fn backend(self, name: &str) -> Self {
        self.setting("backend", name)
    }

    /// Whether threads are tied to CPUs: "auto", "never".
    pub fn pin(self, how: &str) -> Self {
        self.setting("pin", how)
    }

    fn setting(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// It and its jobs take no notice of the `LSIO_*` variables.
    pub fn without_env(mut self) -> Self {
        self.flags |= sys::LSIO_CONTEXT_NO_ENV;
        self
    }

    /// How many of the latest events of each thread are kept for [`Context::trace`].
    pub fn trace_events(mut self, n: u32) -> Self {
        self.trace_events = n;
        self
    }

    /// Gets what jobs say, instead of stdout and stderr.
    ///
    /// It is called on the thread that has something to say, and steps of jobs wait for it. It must not wait
    /// for a thread that is in a call of this context's, and must not use LSIO. A panic in it is dropped.
    pub fn log(mut self, f: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(f));
        self
    }

    /// Has what jobs say go to [`tracing`], with the target `lsio`.
    #[cfg(feature = "tracing")]
    pub fn tracing(self) -> Self {
        self.log(|level, text| match level {
            LogLevel::Warning => tracing::warn!(target: "lsio", "{text}"),
            LogLevel::Info => tracing::info!(target: "lsio", "{text}"),
            LogLevel::Print => tracing::info!(target: "lsio", print = true, "{text}"),
        })
    }

    /// Lets LSIO handle SIGBUS, and use files that are in the page cache where they lie there.
    ///
    /// # Safety
    /// Nobody may write to a file, or truncate it, while a job reads it: closures see its memory as slices,
    /// which must not change. Other handlers of SIGBUS must pass on what they do not know.
    pub unsafe fn lend_page_cache(mut self) -> Self {
        self.flags |= sys::LSIO_CONTEXT_SIGBUS;
        self
    }

    /// Makes the context.
    pub fn build(self) -> Result<Context> {
        let settings = CStrings::new(self.settings)?;
        let log = self.log.map(Box::new);
        let options = sys::lsio_context_options {
            struct_size: std::mem::size_of::<sys::lsio_context_options>(),
            flags: self.flags,
            trace_events: self.trace_events,
            settings: settings.pointers(),
            n_settings: settings.len(),
            log: log.as_ref().map(|_| hear as _),
            log_user: log
                .as_ref()
                .map_or(ptr::null_mut(), |l| ptr::from_ref::<Box<Log>>(l).cast_mut().cast()),
        };
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the options are whole, settings live until the call returns, the log as long as the context.
        let code = unsafe { sys::lsio_context_create(&options, &mut raw, &mut error) };
        match NonNull::new(raw).filter(|_| code == 0) {
            Some(raw) => {
                let without_env = self.flags & sys::LSIO_CONTEXT_NO_ENV != 0;
                Ok(Context(Arc::new(Inner { raw, without_env, log })))
            }
            // SAFETY: the error was handed over.
            None => Err(unsafe { Error::take(error, code) }),
        }
    }
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextBuilder").field("settings", &self.settings).finish()
    }
}

unsafe extern "C" fn hear(user: *mut c_void, _job: u64, level: c_int, text: *const c_char, n: usize) {
    let _ = calls::from_c(|| {
        let log = &*user.cast_const().cast::<Box<Log>>();
        let bytes = if n == 0 { &[][..] } else { std::slice::from_raw_parts(text.cast::<u8>(), n) };
        let level = match level {
            sys::LSIO_LOG_PRINT => LogLevel::Print,
            sys::LSIO_LOG_WARNING => LogLevel::Warning,
            _ => LogLevel::Info,
        };
        log(level, &String::from_utf8_lossy(bytes));
    });
}

/// How things stand in a context.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct ContextStats {
    /// Submitted so far.
    pub jobs: u64,
    /// Started, and not yet gone.
    pub jobs_running: u32,
    /// That wait for memory to begin.
    pub jobs_queued: u64,
    /// Threads that work for jobs.
    pub threads: u32,
    /// Bytes for all jobs together.
    pub memory_limit: u64,
    /// Bytes of buffers in use.
    pub memory_lent: u64,
    /// Bytes of batches that the program holds.
    pub memory_held: u64,
    /// Bytes read so far.
    pub bytes_read: u64,
}

impl Context {
    /// A context with the default settings.
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// To make one with settings.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// A job that reads a source: [`files`](crate::files), [`ranges`](crate::ranges), or a whole
    /// [`Script`](crate::Script), which says itself what it reads.
    pub fn job(&self, source: impl Into<Source>) -> JobBuilder {
        JobBuilder::new(self.clone(), source.into())
    }

    /// How things stand at this moment.
    pub fn stats(&self) -> ContextStats {
        let mut s = sys::lsio_context_stats {
            struct_size: std::mem::size_of::<sys::lsio_context_stats>(),
            ..Default::default()
        };
        // SAFETY: thread-safe; the struct has its size.
        unsafe { sys::lsio_context_get_stats(self.raw(), &mut s) };
        ContextStats {
            jobs: s.jobs,
            jobs_running: s.jobs_running,
            jobs_queued: s.jobs_queued,
            threads: s.threads,
            memory_limit: s.memory_limit,
            memory_lent: s.memory_lent,
            memory_held: s.memory_held,
            bytes_read: s.bytes_read,
        }
    }

    /// Writes what its threads did lately, for the viewers of Perfetto and Chrome; see
    /// [`ContextBuilder::trace_events`].
    pub fn trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = c_string(path_bytes(path.as_ref()))?;
        let mut error = ptr::null_mut();
        // SAFETY: the path lives until the call returns.
        let code = unsafe { sys::lsio_context_trace(self.raw(), path.as_ptr(), &mut error) };
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the error was handed over.
        Err(unsafe { Error::take(error, code) })
    }

    /// Flags of its jobs.
    pub(crate) fn job_flags(&self) -> u32 {
        if self.0.without_env {
            sys::LSIO_JOB_NO_ENV
        } else {
            0
        }
    }

    pub(crate) fn raw(&self) -> *mut sys::lsio_context {
        self.0.raw.as_ptr()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.raw).finish()
    }
}

// ---- strings for C

pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|e| {
        let text = String::from_utf8_lossy(&e.clone().into_vec()).into_owned();
        Error::usage(format!("there is a NUL in {text:?}"))
    })
}

/// Strings, and the array of pointers to them.
#[derive(Debug, Default)]
pub(crate) struct CStrings {
    pointers: Vec<*const c_char>,
    _texts: Vec<CString>,
}

// SAFETY: the pointers are to the texts, which never change.
unsafe impl Send for CStrings {}
unsafe impl Sync for CStrings {}

impl CStrings {
    pub(crate) fn new<T: Into<Vec<u8>>>(texts: impl IntoIterator<Item = T>) -> Result<Self> {
        let texts = texts.into_iter().map(c_string).collect::<Result<Vec<_>>>()?;
        Ok(CStrings { pointers: texts.iter().map(|t| t.as_ptr()).collect(), _texts: texts })
    }

    pub(crate) fn len(&self) -> usize {
        self.pointers.len()
    }

    pub(crate) fn pointers(&self) -> *const *const c_char {
        if self.pointers.is_empty() {
            return ptr::null();
        }
        self.pointers.as_ptr()
    }
}
