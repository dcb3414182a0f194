//! What a closure sees of a step, and what it returns.

use crate::element::{self, Element, ElementType};
use crate::error::{Error, Result};
use lsio_sys as sys;
use std::any::Any;
use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;
use std::sync::atomic::{AtomicI32, Ordering};

/// A chunk that has been read, while a closure runs on it: nothing of it can be kept.
pub struct Step<'a> {
    raw: &'a sys::lsio_step,
    out_taken: Cell<bool>,
    scratch_taken: Cell<bool>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(raw: &'a sys::lsio_step) -> Self {
        Step { raw, out_taken: Cell::new(false), scratch_taken: Cell::new(false) }
    }

    /// Its bytes, decoded.
    pub fn as_bytes(&self) -> &'a [u8] {
        if self.raw.bytes == 0 {
            return &[];
        }
        // SAFETY: so many bytes, until the closure returns, which `'a` does not outlive.
        unsafe { slice::from_raw_parts(self.raw.data.cast(), self.raw.bytes as usize) }
    }

    /// Type of its elements, as the job says.
    pub fn element_type(&self) -> Option<ElementType> {
        // SAFETY: NULL or a static string.
        unsafe { ElementType::from_c(self.raw.type_) }
    }

    /// Its elements. An error if they are of another type, though bytes may be seen as anything; or if they do
    /// not lie as the type must, which happens where an offset is no multiple of its size.
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T]> {
        // SAFETY: as of the bytes.
        unsafe { element::slice(self.element_type(), self.raw.data.cast(), self.raw.bytes as usize) }
    }

    /// A copy of its elements, wherever they lie.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        element::copied(self.element_type(), self.as_bytes())
    }

    /// Where the result goes, to be written by the closure. It can be had once a step, and is empty where
    /// nobody wants a result. It holds anything before.
    pub fn out<T: Element>(&self) -> Result<&'a mut [T]> {
        let (data, n) = (self.raw.out.cast::<u8>(), self.raw.out_n as usize * self.raw.out_item as usize);
        if data.is_null() {
            return Ok(&mut []);
        }
        // SAFETY: NULL or a static string.
        let found = unsafe { ElementType::from_c(self.raw.out_type) };
        // SAFETY: memory of this step's alone, until it returns; handed out once.
        unsafe { exclusive(&self.out_taken, "out", found, data, n) }
    }

    /// Memory for the step's own use, as large as its data. It can be had once a step, and holds anything.
    pub fn scratch<T: Element>(&self) -> Result<&'a mut [T]> {
        let size = T::TYPE.size();
        let (data, n) = (self.raw.scratch.cast::<u8>(), self.raw.scratch_bytes as usize / size * size);
        if data.is_null() || n == 0 {
            return Ok(&mut []);
        }
        // SAFETY: as of `out`.
        unsafe { exclusive(&self.scratch_taken, "scratch", None, data, n) }
    }

    /// Index of the step in the request.
    pub fn index(&self) -> u64 {
        self.raw.index
    }

    /// Index of its object among those of the job.
    pub fn object(&self) -> u64 {
        self.raw.object
    }

    /// Path or URL of its object.
    pub fn path(&self) -> &'a Path {
        if self.raw.name.is_null() {
            return Path::new("");
        }
        // SAFETY: so many bytes, until the closure returns.
        let name = unsafe { slice::from_raw_parts(self.raw.name.cast(), self.raw.name_length as usize) };
        Path::new(OsStr::from_bytes(name))
    }

    /// Bytes of its object.
    pub fn object_size(&self) -> u64 {
        self.raw.object_size
    }

    /// Byte of its object at which the chunk begins.
    pub fn offset(&self) -> u64 {
        self.raw.offset
    }

    /// Bytes of the chunk as it is stored.
    pub fn stored_length(&self) -> u64 {
        self.raw.length
    }

    /// The tag that the request gave it.
    pub fn tag(&self) -> i64 {
        self.raw.tag
    }

    /// Place of the first element in the result, if that is known; with pieces, in the chunk.
    pub fn position(&self) -> Option<u64> {
        self.raw.pos.try_into().ok()
    }

    /// Index of the worker that runs it.
    pub fn worker(&self) -> u32 {
        self.raw.worker
    }

    /// Whether it is all of the chunk or its first piece.
    pub fn is_first(&self) -> bool {
        self.raw.flags & sys::LSIO_STEP_FIRST != 0
    }

    /// Whether it is all of the chunk or its last piece.
    pub fn is_last(&self) -> bool {
        self.raw.flags & sys::LSIO_STEP_LAST != 0
    }

    /// Whether the job is to end: a closure that takes long looks now and then, and returns an error.
    pub fn is_stopping(&self) -> bool {
        // SAFETY: valid until the step returns; other threads write to it, as an atomic.
        !self.raw.stop.is_null()
            && unsafe { AtomicI32::from_ptr(self.raw.stop.cast_mut()) }.load(Ordering::Relaxed) != 0
    }

    /// What a closure's answer is for C. A negative one is an error, told in `message`.
    pub(crate) fn end(&self, what: StepEnd) -> i32 {
        let wanted = !self.raw.out.is_null();
        match what {
            Ok(Yield::Nothing | Yield::Count(0)) if wanted => sys::LSIO_STEP_NOTHING,
            Ok(Yield::Written) if wanted && !self.out_taken.get() => sys::LSIO_STEP_NOTHING,
            Ok(Yield::Count(k)) if wanted => match i32::try_from(k) {
                Ok(n) if k as u64 <= self.raw.out_n => n,
                _ => self.fail(
                    sys::LSIO_ERR_TRANSFORM,
                    &format!(
                        "the closure says that it has written {k} elements; there is room for {}",
                        self.raw.out_n
                    ),
                ),
            },
            Ok(_) => 0,
            Err((code, text)) => self.fail(code, &text),
        }
    }

    pub(crate) fn fail(&self, code: i32, text: &str) -> i32 {
        // SAFETY: so many bytes may be written.
        unsafe { say(self.raw.message, self.raw.message_size as usize, text) };
        code
    }
}

unsafe fn exclusive<'a, T: Element>(
    taken: &Cell<bool>,
    what: &str,
    found: Option<ElementType>,
    data: *mut u8,
    bytes: usize,
) -> Result<&'a mut [T]> {
    element::check::<T>(found, data, bytes)?;
    if taken.replace(true) {
        return Err(Error::usage(format!("the {what} of a step can be had once")));
    }
    Ok(slice::from_raw_parts_mut(data.cast(), bytes / T::TYPE.size()))
}

/// Text for C, cut where there is no room, between characters.
///
/// # Safety
/// `size` bytes may be written to `message`.
pub(crate) unsafe fn say(message: *mut std::ffi::c_char, size: usize, text: &str) {
    if message.is_null() || size == 0 {
        return;
    }
    let mut n = text.len().min(size - 1);
    while !text.is_char_boundary(n) {
        n -= 1;
    }
    std::ptr::copy_nonoverlapping(text.as_ptr(), message.cast::<u8>(), n);
    *message.add(n) = 0;
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("index", &self.index())
            .field("path", &self.path())
            .field("offset", &self.offset())
            .field("bytes", &self.raw.bytes)
            .finish()
    }
}

/// What has come of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yield {
    /// `out` is full; or has not been asked for, and there is nothing to deliver.
    Written,
    /// So many elements are in `out`; the job has an [`out_max`](crate::JobBuilder::out_max).
    Count(usize),
    /// There is nothing to deliver.
    Nothing,
}

pub(crate) type StepEnd = std::result::Result<Yield, (i32, String)>;

/// What closures may return: nothing, a [`Yield`], or a `Result` of one of these with any error that has text.
pub trait IntoYield: sealed::Sealed {
    #[doc(hidden)]
    fn into_yield(self) -> StepEnd;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl Sealed for super::Yield {}
    impl<Y: super::IntoYield, E: std::fmt::Display + 'static> Sealed for Result<Y, E> {}
}

impl IntoYield for () {
    fn into_yield(self) -> StepEnd {
        Ok(Yield::Written)
    }
}

impl IntoYield for Yield {
    fn into_yield(self) -> StepEnd {
        Ok(self)
    }
}

impl<Y: IntoYield, E: Display + 'static> IntoYield for std::result::Result<Y, E> {
    fn into_yield(self) -> StepEnd {
        match self {
            Ok(y) => y.into_yield(),
            Err(e) => {
                let ours = (&e as &dyn Any).downcast_ref::<Error>();
                Err((ours.map_or(sys::LSIO_ERR_TRANSFORM, |e| e.kind().step_code()), e.to_string()))
            }
        }
    }
}
