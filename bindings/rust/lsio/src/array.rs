//! Results that lie in one piece of memory.

use crate::element::{self, Element, ElementType};
use crate::error::Result;
use lsio_sys as sys;
use std::{fmt, ops::Deref, ptr, slice};

enum Memory {
    Ours(Vec<u8>),
    Lsio(Box<sys::lsio_array>),
}

/// Results one behind the other, in memory of their own: bytes, or elements of one type.
pub struct Array {
    memory: Memory,
    element: Option<ElementType>,
    shape: Vec<usize>,
}

// SAFETY: memory that nobody changes; `lsio_array_free` may be called on any thread.
unsafe impl Send for Array {}
unsafe impl Sync for Array {}

impl Array {
    pub(crate) fn of_bytes(bytes: Vec<u8>) -> Self {
        Array { shape: vec![bytes.len()], memory: Memory::Ours(bytes), element: Some(ElementType::U8) }
    }

    /// # Safety
    /// `array` was handed over by `lsio_job_take_output`.
    pub(crate) unsafe fn from_c(array: sys::lsio_array) -> Self {
        let n = array.shape.len().min(array.ndim as usize);
        let shape = array.shape[..n].iter().map(|&s| s as usize).collect();
        Array { element: ElementType::from_c(array.type_), memory: Memory::Lsio(Box::new(array)), shape }
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Type of an element.
    pub fn element_type(&self) -> Option<ElementType> {
        self.element
    }

    /// As elements; an error if they are of another type, but bytes may be seen as anything.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        // SAFETY: the memory is as this borrow says.
        unsafe { element::slice(self.element, self.as_ptr(), self.len()) }
    }

    /// A copy, as elements.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        element::copied(self.element, self)
    }

    /// All bytes as a vector: copied only where LSIO made the memory.
    pub fn into_vec(mut self) -> Vec<u8> {
        match &mut self.memory {
            Memory::Ours(v) => std::mem::take(v),
            Memory::Lsio(_) => self.deref().to_vec(),
        }
    }

    /// All of it as [`Bytes`](bytes::Bytes), without a copy.
    #[cfg(feature = "bytes")]
    pub fn into_bytes(self) -> bytes::Bytes {
        bytes::Bytes::from_owner(self)
    }
}

impl Deref for Array {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.memory {
            Memory::Ours(v) => v,
            Memory::Lsio(a) if a.data.is_null() || a.bytes == 0 => &[],
            // SAFETY: LSIO has handed over so many bytes.
            Memory::Lsio(a) => unsafe { slice::from_raw_parts(a.data.cast(), a.bytes) },
        }
    }
}

impl AsRef<[u8]> for Array {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if let Memory::Lsio(a) = &mut self.memory {
            // SAFETY: handed over, and given back once.
            unsafe { sys::lsio_array_free(&mut **a) };
            a.data = ptr::null_mut();
        }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("type", &self.element).field("shape", &self.shape).finish()
    }
}
