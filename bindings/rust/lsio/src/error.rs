//! What went wrong, and where.

use lsio_sys as sys;
use std::ffi::{c_char, c_int, CStr};
use std::{fmt, io};

/// `Result` with LSIO's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// None of the others.
    Other,
    /// What was asked for can't be: a wrong setting, a directory as a source, a shape of another size.
    Usage,
    /// The job's script does not load or is not valid.
    Script,
    /// There is no such source, or no folder for the output.
    NotFound,
    /// Not allowed, or a read-only file system.
    Permission,
    /// The output is there, and is not to be replaced.
    Exists,
    /// A source changed or went away while it was read.
    Changed,
    /// A device or the system failed to read or write.
    Io,
    /// There is no room on the output's file system, or of a quota.
    NoSpace,
    /// A deadline has passed, or nobody answered in time.
    Timeout,
    /// The job was cancelled.
    Cancelled,
    /// Code of the job's failed while it ran: Lua, or a closure, which may have panicked.
    Transform,
    /// Data are not what they should be.
    Corrupt,
    /// More than a limit allows: memory, sizes, counts.
    Limit,
    /// The system gave no memory.
    NoMemory,
    /// This machine, build or version can't do it.
    Unsupported,
    /// The job is still running.
    Busy,
    /// It belongs to the parent of this process.
    Forked,
    /// A bug of LSIO.
    Bug,
}

impl ErrorKind {
    fn from_c(kind: c_int) -> Self {
        match kind {
            sys::LSIO_KIND_USAGE => Self::Usage,
            sys::LSIO_KIND_SCRIPT => Self::Script,
            sys::LSIO_KIND_NOT_FOUND => Self::NotFound,
            sys::LSIO_KIND_PERMISSION => Self::Permission,
            sys::LSIO_KIND_EXISTS => Self::Exists,
            sys::LSIO_KIND_CHANGED => Self::Changed,
            sys::LSIO_KIND_IO => Self::Io,
            sys::LSIO_KIND_NO_SPACE => Self::NoSpace,
            sys::LSIO_KIND_TIMEOUT => Self::Timeout,
            sys::LSIO_KIND_CANCELLED => Self::Cancelled,
            sys::LSIO_KIND_TRANSFORM => Self::Transform,
            sys::LSIO_KIND_CORRUPT => Self::Corrupt,
            sys::LSIO_KIND_LIMIT => Self::Limit,
            sys::LSIO_KIND_NO_MEMORY => Self::NoMemory,
            sys::LSIO_KIND_UNSUPPORTED => Self::Unsupported,
            sys::LSIO_KIND_BUSY => Self::Busy,
            sys::LSIO_KIND_FORKED => Self::Forked,
            sys::LSIO_KIND_BUG => Self::Bug,
            _ => Self::Other,
        }
    }

    /// What a transform that fails with it returns.
    pub(crate) fn step_code(self) -> i32 {
        match self {
            Self::Corrupt => sys::LSIO_ERR_CORRUPT,
            Self::Limit => sys::LSIO_ERR_LIMIT,
            Self::Unsupported => sys::LSIO_ERR_UNSUPPORTED,
            Self::NoMemory => sys::LSIO_ERR_NOMEM,
            _ => sys::LSIO_ERR_TRANSFORM,
        }
    }
}

#[derive(Debug, Clone)]
struct Details {
    kind: ErrorKind,
    message: String,
    url: Option<String>,
    offset: Option<u64>,
    length: Option<u64>,
    step: Option<u64>,
    script: Option<String>,
    line: Option<u32>,
    os_code: Option<i32>,
    retryable: bool,
}

/// What went wrong: in one line as text, and by its parts.
#[derive(Clone)]
pub struct Error(Box<Details>);

impl Error {
    /// An error of the program's own: what a closure returns to have its step fail with that kind.
    ///
    /// [`ErrorKind::Corrupt`], [`Limit`](ErrorKind::Limit) and [`Unsupported`](ErrorKind::Unsupported) are the
    /// job's error then; [`NoMemory`](ErrorKind::NoMemory) ends the job even where failed steps are skipped;
    /// others become [`ErrorKind::Transform`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            message: message.into(),
            url: None,
            offset: None,
            length: None,
            step: None,
            script: None,
            line: None,
            os_code: None,
            retryable: false,
        }))
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A copy of what C says.
    ///
    /// # Safety
    /// `e` is NULL or points to an error that nobody changes meanwhile.
    pub(crate) unsafe fn from_c(e: *const sys::lsio_error) -> Self {
        if e.is_null() {
            return Self::new(ErrorKind::Bug, "LSIO failed and did not say why");
        }
        let known = |n: u64| (n != u64::MAX).then_some(n);
        let line = sys::lsio_error_line(e);
        let os_code = sys::lsio_error_os_code(e);
        Error(Box::new(Details {
            kind: ErrorKind::from_c(sys::lsio_error_kind(e)),
            message: text(sys::lsio_error_message(e)),
            url: Some(text(sys::lsio_error_object(e))).filter(|t| !t.is_empty()),
            offset: known(sys::lsio_error_offset(e)),
            length: known(sys::lsio_error_length(e)),
            step: known(sys::lsio_error_step(e)),
            script: Some(text(sys::lsio_error_file(e))).filter(|t| !t.is_empty()),
            line: u32::try_from(line).ok().filter(|&n| n > 0),
            os_code: Some(os_code).filter(|&n| n != 0),
            retryable: sys::lsio_error_is_retryable(e) != 0,
        }))
    }

    /// The same, of one that was handed over.
    ///
    /// # Safety
    /// As of `from_c`; `e` is freed.
    pub(crate) unsafe fn take(e: *mut sys::lsio_error, code: c_int) -> Self {
        if e.is_null() {
            let kind = if code == sys::LSIO_ERR_FORKED { ErrorKind::Forked } else { ErrorKind::Other };
            return Self::new(kind, text(sys::lsio_strerror(code)));
        }
        let error = Self::from_c(e);
        sys::lsio_error_free(e);
        error
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The whole story in one line: what, where, and what to do about it. As `Display` has it.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Path or URL of the object that it is about.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Byte of the object at which it happened.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Bytes of the object from there on that it is about.
    pub fn length(&self) -> Option<u64> {
        self.0.length
    }

    /// Index of the step in the request.
    pub fn step(&self) -> Option<u64> {
        self.0.step
    }

    /// The script that it comes from, by the name that this was given.
    pub fn script(&self) -> Option<&str> {
        self.0.script.as_deref()
    }

    /// Line of the script, from 1 on.
    pub fn line(&self) -> Option<u32> {
        self.0.line
    }

    /// The system's number of the error (errno), or a library's.
    pub fn os_code(&self) -> Option<i32> {
        self.0.os_code
    }

    /// Whether the same request, made again as it is, may succeed: what was in its way passes by itself.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

/// A string of C's; NULL is "".
///
/// # Safety
/// `p` is NULL or points to text that ends with a NUL.
pub(crate) unsafe fn text(p: *const c_char) -> String {
    if p.is_null() {
        return String::new();
    }
    CStr::from_ptr(p).to_string_lossy().into_owned()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("message", &self.0.message).finish()
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(e: Error) -> io::Error {
        let kind = match e.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Permission => io::ErrorKind::PermissionDenied,
            ErrorKind::Exists => io::ErrorKind::AlreadyExists,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            ErrorKind::Corrupt => io::ErrorKind::InvalidData,
            ErrorKind::Usage | ErrorKind::Script => io::ErrorKind::InvalidInput,
            ErrorKind::NoMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Busy => io::ErrorKind::WouldBlock,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, e)
    }
}
