//! Job scripts that stay loaded.

use crate::context::{c_string, path_bytes, Context};
use crate::error::{Error, ErrorKind, Result};
use lsio_sys as sys;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
struct Loaded {
    raw: NonNull<sys::lsio_script>,
    context: Context, // goes behind the script
    wait: Mutex<()>,
}

// SAFETY: a script is used by lsio_submit from any thread; waits take turns.
unsafe impl Send for Loaded {}
unsafe impl Sync for Loaded {}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the last reference of ours; jobs of it may go on.
        unsafe { sys::lsio_script_release(self.raw.as_ptr()) };
    }
}

/// A whole job in Lua (`return lsio.job { ... }`) that is loaded once, for any number of jobs.
///
/// A job script is as trusted as a shell script: it can do whatever the process can.
#[derive(Debug, Clone)]
pub struct Script(Arc<Loaded>);

impl Script {
    /// Of its text. What is wrong with it, [`check`](Script::check) or its jobs tell.
    pub fn new(context: &Context, source: impl AsRef<str>) -> Result<Self> {
        Self::named(context, source.as_ref().as_bytes(), b"job")
    }

    /// Of a file, by whose path messages call it, and beside which `require` looks.
    pub fn open(context: &Context, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|e| {
            let kind = match e.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
                _ => ErrorKind::Io,
            };
            Error::new(kind, format!("{}: {e}", path.display()))
        })?;
        Self::named(context, &text, &path_bytes(path))
    }

    fn named(context: &Context, text: &[u8], name: &[u8]) -> Result<Self> {
        let name = c_string(name)?;
        let mut options = crate::job::no_options();
        options.script = text.as_ptr().cast();
        options.script_length = text.len();
        options.script_name = name.as_ptr();
        let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: text and name live until the call returns, which copies them.
        let code = unsafe { sys::lsio_script_load(context.raw(), &options, &mut raw, &mut error) };
        match NonNull::new(raw).filter(|_| code == 0) {
            Some(raw) => Ok(Script(Arc::new(Loaded { raw, context: context.clone(), wait: Mutex::new(()) }))),
            // SAFETY: the error was handed over.
            None => Err(unsafe { Error::take(error, code) }),
        }
    }

    /// Loads it now, and waits for that; what is wrong with it is the error.
    pub fn check(&self) -> Result<()> {
        let _turn = self.0.wait.lock().unwrap_or_else(|e| e.into_inner());
        let mut error = ptr::null_mut();
        // SAFETY: one thread at a time.
        let code = unsafe { sys::lsio_script_wait(self.0.raw.as_ptr(), &mut error) };
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the error was handed over.
        Err(unsafe { Error::take(error, code) })
    }

    pub(crate) fn raw(&self) -> *const sys::lsio_script {
        self.0.raw.as_ptr()
    }

    pub(crate) fn is_in(&self, context: &Context) -> bool {
        Arc::ptr_eq(&self.0.context.0, &context.0)
    }
}
