//! Memory that results are read into: it belongs to LSIO until LSIO says that it is done with it.

use crate::element::{Element, ElementType};
use crate::error::{Error, Result};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A vector's memory. One reference is the job's of C and goes with `output_release`, before anybody is told
/// of the end; another is the program's. Where C never lets go of it, as after "io_uring has failed", the
/// memory is never freed. So whatever is leaked on this side, no read lands in memory of others.
#[derive(Debug)]
pub(crate) struct Output {
    data: *mut u8,
    n: usize,
    capacity: usize,
    element: ElementType,
    free: unsafe fn(*mut u8, usize),
}

// SAFETY: this is memory, owned; elements are Send and Sync.
unsafe impl Send for Output {}
unsafe impl Sync for Output {}

unsafe fn free<T: Element>(data: *mut u8, capacity: usize) {
    drop(Vec::<T>::from_raw_parts(data.cast(), 0, capacity));
}

impl Output {
    pub(crate) fn new<T: Element>(v: Vec<T>) -> Self {
        let n = v.len();
        Self::of(v, n)
    }

    /// Room for so many bytes in a vector's memory, which nobody reads before they have been written.
    pub(crate) fn room(mut v: Vec<u8>, bytes: usize) -> Result<Self> {
        v.clear();
        v.try_reserve_exact(bytes).map_err(|e| Error::new(crate::ErrorKind::NoMemory, e.to_string()))?;
        Ok(Self::of(v, bytes))
    }

    fn of<T: Element>(v: Vec<T>, n: usize) -> Self {
        let mut v = ManuallyDrop::new(v);
        Output { data: v.as_mut_ptr().cast(), n, capacity: v.capacity(), element: T::TYPE, free: free::<T> }
    }

    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.data.cast()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.n * self.element.size()
    }

    /// The vector again, once LSIO is done with it.
    ///
    /// # Safety
    /// The job has ended well: it has filled all of it.
    pub(crate) unsafe fn into_vec<T: Element>(this: Arc<Self>) -> Result<Vec<T>> {
        if this.element != T::TYPE {
            let (has, wanted) = (this.element.name(), T::TYPE.name());
            return Err(Error::usage(format!("the output holds {has}, not {wanted}")));
        }
        let Some(only) = Arc::into_inner(this) else {
            return Err(Error::new(crate::ErrorKind::Busy, "LSIO still holds the output"));
        };
        let only = ManuallyDrop::new(only);
        Ok(Vec::from_raw_parts(only.data.cast(), only.n, only.capacity))
    }

    /// `output_release` of a job's options: gives back the reference that was the job's.
    pub(crate) unsafe extern "C" fn release(user: *mut c_void) {
        if !user.is_null() {
            drop(Arc::from_raw(user.cast_const().cast::<Output>()));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: made of a vector with that capacity, of elements that need no drop.
        unsafe { (self.free)(self.data, self.capacity) }
    }
}
