//! Values: parameters of jobs, and states that Lua jobs end with.

use crate::calls;
use crate::element::{self, Element, ElementType};
use crate::error::{Error, ErrorKind, Result};
use lsio_sys as sys;
use std::ffi::{c_void, CString};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::{fmt, slice};

/// What goes into a job as a parameter, and comes out of a Lua job as its state.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// Nothing is there.
    #[default]
    Nil,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer that may be beyond `i64`.
    Uint(u64),
    /// A number.
    Double(f64),
    /// Text, or any bytes.
    Bytes(Vec<u8>),
    /// Values in their order.
    List(Vec<Value>),
    /// Keys, which are numbers or bytes, and what each stands for. LSIO gives them sorted: numbers, then bytes.
    Map(Vec<(Value, Value)>),
    /// Elements of one type.
    Array(ArrayValue),
}

impl Value {
    /// What a name stands for in a map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Map(rows) = self else { return None };
        rows.iter().find(|(k, _)| matches!(k, Value::Bytes(b) if b == name.as_bytes())).map(|(_, v)| v)
    }

    /// As a number, of any kind that is one.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::Int(v) => Some(v as f64),
            Value::Uint(v) => Some(v as f64),
            Value::Double(v) => Some(v),
            _ => None,
        }
    }

    /// As an integer, if it is just that.
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Value::Int(v) => Some(v),
            Value::Uint(v) => v.try_into().ok(),
            Value::Double(v) if v == v.trunc() && v.abs() < 9.2e18 => Some(v as i64),
            _ => None,
        }
    }

    /// As text, if its bytes are that.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Bytes(b) => std::str::from_utf8(b).ok(),
            _ => None,
        }
    }

    /// The elements of an array, or `None` where it is none of that type.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        match self {
            Value::Array(a) => a.as_slice().ok(),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($rust:ty => $kind:ident as $as:ty),*) => {$(
        impl From<$rust> for Value {
            fn from(v: $rust) -> Value {
                Value::$kind(<$as>::from(v))
            }
        }
    )*};
}
from!(bool => Bool as bool, i8 => Int as i64, i16 => Int as i64, i32 => Int as i64, i64 => Int as i64,
      u8 => Int as i64, u16 => Int as i64, u32 => Int as i64, u64 => Uint as u64, f32 => Double as f64,
      f64 => Double as f64, &str => Bytes as Vec<u8>, String => Bytes as Vec<u8>);

impl From<usize> for Value {
    fn from(v: usize) -> Value {
        Value::Uint(v as u64)
    }
}

impl From<Vec<Value>> for Value {
    fn from(v: Vec<Value>) -> Value {
        Value::List(v)
    }
}

/// Of numbers: an array, which is not copied.
impl<T: Element> From<Vec<T>> for Value {
    fn from(v: Vec<T>) -> Value {
        Value::Array(ArrayValue::from(v))
    }
}

impl<K: Into<Value>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Value {
    fn from(rows: [(K, V); N]) -> Value {
        Value::Map(rows.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

trait Owner: Send + Sync {}
impl<T: Element> Owner for Vec<T> {}
impl Owner for Held {}

/// An array of elements of one type. A clone is the same memory.
#[derive(Clone)]
pub struct ArrayValue {
    element: ElementType,
    shape: Vec<i64>,
    data: *const u8,
    bytes: usize,
    owner: Arc<dyn Owner>,
}

// SAFETY: memory that nobody changes as long as its owner is there.
unsafe impl Send for ArrayValue {}
unsafe impl Sync for ArrayValue {}

impl ArrayValue {
    /// An array of that shape; an error if it has not so many elements.
    pub fn new<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Self> {
        let n = shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
        if n != Some(elements.len()) {
            return Err(Error::usage(format!("{} elements have not the shape {shape:?}", elements.len())));
        }
        let mut made = Self::from(elements);
        made.shape = shape.iter().map(|&s| s as i64).collect();
        Ok(made)
    }

    /// Type of an element.
    pub fn element_type(&self) -> ElementType {
        self.element
    }

    /// Elements along each dimension.
    pub fn shape(&self) -> Vec<usize> {
        self.shape.iter().map(|&s| s as usize).collect()
    }

    /// Its elements; an error if they are of another type, though bytes may be seen as anything.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        // SAFETY: the owner keeps the memory as it is.
        unsafe { element::slice(Some(self.element), self.data, self.bytes) }
    }

    /// Its elements as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: as above.
        unsafe { slice::from_raw_parts(self.data, self.bytes) }
    }
}

impl<T: Element> From<Vec<T>> for ArrayValue {
    fn from(v: Vec<T>) -> Self {
        let owner = Arc::new(v);
        let bytes = element::bytes_of::<T>(&owner);
        ArrayValue {
            element: T::TYPE,
            shape: vec![owner.len() as i64],
            data: bytes.as_ptr(),
            bytes: bytes.len(),
            owner,
        }
    }
}

impl PartialEq for ArrayValue {
    fn eq(&self, other: &Self) -> bool {
        self.element == other.element && self.shape == other.shape && self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for ArrayValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayValue").field("type", &self.element).field("shape", &self.shape).finish()
    }
}

// ---- to C and back

/// A reference to a value of C's.
#[derive(Debug)]
pub(crate) struct Held(NonNull<sys::lsio_value>);

// SAFETY: values never change and count their references.
unsafe impl Send for Held {}
unsafe impl Sync for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: this reference is ours.
        unsafe { sys::lsio_value_release(self.0.as_ptr()) };
    }
}

type Made = *mut sys::lsio_value;
type Maker =
    unsafe extern "C" fn(*const Made, *const Made, usize, *mut Made, *mut *mut sys::lsio_error) -> i32;

unsafe extern "C" fn list(
    items: *const Made,
    _: *const Made,
    n: usize,
    out: *mut Made,
    error: *mut *mut sys::lsio_error,
) -> i32 {
    sys::lsio_value_list(items, n, out, error)
}

impl Held {
    pub(crate) fn raw(&self) -> *const sys::lsio_value {
        self.0.as_ptr()
    }

    /// # Safety
    /// `raw` is a reference that is handed over.
    pub(crate) unsafe fn from_c(raw: Made) -> Result<Self> {
        NonNull::new(raw).map(Held).ok_or_else(|| Error::new(ErrorKind::NoMemory, "no memory for a value"))
    }

    pub(crate) fn new(v: &Value) -> Result<Self> {
        Self::make(v, 0)
    }

    fn make(v: &Value, depth: usize) -> Result<Self> {
        if depth > sys::LSIO_VALUE_DEPTH_MAX as usize {
            return Err(Error::usage("lists and maps lie in each other deeper than LSIO takes"));
        }
        // SAFETY: plain calls; bytes are copied.
        unsafe {
            Self::from_c(match v {
                Value::Nil => sys::lsio_value_nil(),
                Value::Bool(v) => sys::lsio_value_bool((*v).into()),
                Value::Int(v) => sys::lsio_value_int(*v),
                Value::Uint(v) => sys::lsio_value_uint(*v),
                Value::Double(v) => sys::lsio_value_double(*v),
                Value::Bytes(b) => sys::lsio_value_bytes(b.as_ptr().cast(), b.len()),
                Value::List(items) => return Self::of_items(items.iter(), [].iter(), depth, list),
                Value::Map(rows) => {
                    let (keys, values) = (rows.iter().map(|r| &r.0), rows.iter().map(|r| &r.1));
                    return Self::of_items(keys, values, depth, sys::lsio_value_map);
                }
                Value::Array(a) => return Self::of_array(a),
            })
        }
    }

    fn of_items<'a>(
        first: impl Iterator<Item = &'a Value>,
        second: impl Iterator<Item = &'a Value>,
        depth: usize,
        maker: Maker,
    ) -> Result<Self> {
        let first = first.map(|v| Self::make(v, depth + 1)).collect::<Result<Vec<_>>>()?;
        let second = second.map(|v| Self::make(v, depth + 1)).collect::<Result<Vec<_>>>()?;
        let hand_over = |held: Vec<Held>| -> Vec<Made> {
            held.into_iter().map(|h| std::mem::ManuallyDrop::new(h).0.as_ptr()).collect()
        };
        let (first, second) = (hand_over(first), hand_over(second));
        let (mut out, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: what is in the arrays is handed over, also on failure.
        unsafe {
            let code = maker(first.as_ptr(), second.as_ptr(), first.len(), &mut out, &mut error);
            if code != 0 {
                return Err(Error::take(error, code));
            }
            Self::from_c(out)
        }
    }

    fn of_array(a: &ArrayValue) -> Result<Self> {
        let name = CString::new(a.element.name()).unwrap_or_default();
        let source = sys::lsio_value_source {
            struct_size: std::mem::size_of::<sys::lsio_value_source>(),
            data: if a.bytes == 0 { ptr::null() } else { a.data.cast() },
            type_: name.as_ptr(),
            ndim: a.shape.len() as u32,
            shape: a.shape.as_ptr(),
            release: Some(release),
            user: Box::into_raw(Box::new(Arc::clone(&a.owner))).cast(),
        };
        let (mut out, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the memory stays until `release`, which is called also on failure.
        unsafe {
            let code = sys::lsio_value_array(&source, &mut out, &mut error);
            if code != 0 {
                return Err(Error::take(error, code));
            }
            Self::from_c(out)
        }
    }

    /// The same as a value of ours. Arrays are not copied.
    pub(crate) fn value(&self) -> Value {
        // SAFETY: the view's pointers belong to the value, which is held; what is within it lives as long.
        unsafe {
            let mut v: sys::lsio_value_view = std::mem::zeroed();
            v.struct_size = std::mem::size_of::<sys::lsio_value_view>();
            sys::lsio_value_get(self.raw(), &mut v);
            let held = |p: *const sys::lsio_value| Held(NonNull::new_unchecked(sys::lsio_value_retain(p)));
            let items = |p: *const *const sys::lsio_value| (0..v.n).map(move |i| held(*p.add(i)).value());
            match v.kind {
                sys::LSIO_VALUE_BOOL => Value::Bool(v.integer != 0),
                sys::LSIO_VALUE_INT => Value::Int(v.integer),
                sys::LSIO_VALUE_UINT => Value::Uint(v.natural),
                sys::LSIO_VALUE_DOUBLE => Value::Double(v.number),
                sys::LSIO_VALUE_BYTES if v.length == 0 => Value::Bytes(Vec::new()),
                sys::LSIO_VALUE_BYTES => {
                    Value::Bytes(slice::from_raw_parts(v.data.cast::<u8>(), v.length).to_vec())
                }
                sys::LSIO_VALUE_LIST => Value::List(items(v.items).collect()),
                sys::LSIO_VALUE_MAP => Value::Map(items(v.keys).zip(items(v.items)).collect()),
                sys::LSIO_VALUE_ARRAY => self.array(&v),
                _ => Value::Nil,
            }
        }
    }

    unsafe fn array(&self, v: &sys::lsio_value_view) -> Value {
        let Some(element) = ElementType::from_c(v.type_) else { return Value::Nil };
        let shape = if v.ndim == 0 { &[][..] } else { slice::from_raw_parts(v.shape, v.ndim as usize) };
        Value::Array(ArrayValue {
            element,
            shape: shape.to_vec(),
            data: v.data.cast(),
            bytes: v.length,
            owner: Arc::new(Held(NonNull::new_unchecked(sys::lsio_value_retain(self.raw())))),
        })
    }
}

unsafe extern "C" fn release(user: *mut c_void) {
    let _ = calls::from_c(|| drop(Box::from_raw(user.cast::<Arc<dyn Owner>>())));
}
