//! Types of elements.

use crate::error::{Error, Result};
use std::ffi::{c_char, CStr};

/// Type of an element, in native byte order.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ElementType {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

const ALL: [(ElementType, &str, usize); 10] = [
    (ElementType::I8, "i8", 1),
    (ElementType::U8, "u8", 1),
    (ElementType::I16, "i16", 2),
    (ElementType::U16, "u16", 2),
    (ElementType::I32, "i32", 4),
    (ElementType::U32, "u32", 4),
    (ElementType::I64, "i64", 8),
    (ElementType::U64, "u64", 8),
    (ElementType::F32, "f32", 4),
    (ElementType::F64, "f64", 8),
];

impl ElementType {
    /// As LSIO calls it: "f32".
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// In bytes.
    pub fn size(self) -> usize {
        ALL[self as usize].2
    }

    /// # Safety
    /// `name` is NULL or points to text that ends with a NUL.
    pub(crate) unsafe fn from_c(name: *const c_char) -> Option<Self> {
        if name.is_null() {
            return None;
        }
        let name = CStr::from_ptr(name).to_bytes();
        ALL.iter().find(|row| row.1.as_bytes() == name).map(|row| row.0)
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Rust's types that elements can be: integers of 8 to 64 bits, `f32` and `f64`.
///
/// Any bytes are a value of such a type, so memory that LSIO has filled can be seen as them.
pub trait Element: Copy + Send + Sync + sealed::Sealed + 'static {
    /// LSIO's name for it.
    const TYPE: ElementType;
}

macro_rules! elements {
    ($($rust:ty => $type:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const TYPE: ElementType = ElementType::$type;
        }
    )*};
}
elements!(i8 => I8, u8 => U8, i16 => I16, u16 => U16, i32 => I32, u32 => U32, i64 => I64, u64 => U64,
          f32 => F32, f64 => F64);

/// Whether memory of that type may be seen as `T`: bytes may be as anything, and what is not known too.
pub(crate) fn check<T: Element>(found: Option<ElementType>, data: *const u8, bytes: usize) -> Result<()> {
    match found {
        Some(t) if t != T::TYPE && t != ElementType::U8 => {
            return Err(Error::usage(format!("elements are {}, not {}", t.name(), T::TYPE.name())))
        }
        _ => {}
    }
    let size = T::TYPE.size();
    if bytes % size != 0 {
        return Err(Error::usage(format!("{bytes} bytes are no whole number of {}", T::TYPE.name())));
    }
    if bytes != 0 && data as usize % std::mem::align_of::<T>() != 0 {
        return Err(Error::usage(format!("the data does not lie on {size} bytes; copy it (to_vec)")));
    }
    Ok(())
}

/// # Safety
/// `data` points to `bytes` initialised bytes that nobody changes during `'a`, or there are none.
pub(crate) unsafe fn slice<'a, T: Element>(
    found: Option<ElementType>,
    data: *const u8,
    bytes: usize,
) -> Result<&'a [T]> {
    check::<T>(found, data, bytes)?;
    if bytes == 0 {
        return Ok(&[]);
    }
    Ok(std::slice::from_raw_parts(data.cast(), bytes / T::TYPE.size()))
}

/// Wherever the bytes lie.
pub(crate) fn copied<T: Element>(found: Option<ElementType>, bytes: &[u8]) -> Result<Vec<T>> {
    check::<T>(found, std::ptr::null(), bytes.len())?;
    let n = bytes.len() / T::TYPE.size();
    let mut made = Vec::<T>::with_capacity(n);
    // SAFETY: there is room for n elements, which any bytes are.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), made.as_mut_ptr().cast::<u8>(), bytes.len());
        made.set_len(n);
    }
    Ok(made)
}

/// The same memory as bytes.
pub(crate) fn bytes_of<T: Element>(elements: &[T]) -> &[u8] {
    // SAFETY: integers and floats have no padding.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), std::mem::size_of_val(elements)) }
}
