//! `lsio/value.h`
use crate::lsio_error;
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_VALUE_DEPTH_MAX: c_int = 64;
pub const LSIO_VALUE_COUNT_MAX: c_int = 16777216;
pub const LSIO_VALUE_NDIM_MAX: c_int = 32;

pub const LSIO_VALUE_NIL: u32 = 0;
pub const LSIO_VALUE_BOOL: u32 = 1;
pub const LSIO_VALUE_INT: u32 = 2;
pub const LSIO_VALUE_UINT: u32 = 3;
pub const LSIO_VALUE_DOUBLE: u32 = 4;
pub const LSIO_VALUE_BYTES: u32 = 5;
pub const LSIO_VALUE_LIST: u32 = 6;
pub const LSIO_VALUE_MAP: u32 = 7;
pub const LSIO_VALUE_ARRAY: u32 = 8;

crate::opaque!(lsio_value);

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_value_source {
    pub struct_size: usize,
    pub data: *const c_void,
    pub type_: *const c_char,
    pub ndim: u32,
    pub shape: *const i64,
    pub release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub user: *mut c_void,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_value_view {
    pub struct_size: usize,
    pub kind: u32,
    pub ndim: u32,
    pub integer: i64,
    pub natural: u64,
    pub number: f64,
    pub n: usize,
    pub data: *const c_void,
    pub length: usize,
    pub items: *const *const lsio_value,
    pub keys: *const *const lsio_value,
    pub type_: *const c_char,
    pub shape: *const i64,
}

extern "C" {
    pub fn lsio_value_nil() -> *mut lsio_value;
    pub fn lsio_value_bool(v: c_int) -> *mut lsio_value;
    pub fn lsio_value_int(v: i64) -> *mut lsio_value;
    pub fn lsio_value_uint(v: u64) -> *mut lsio_value;
    pub fn lsio_value_double(v: f64) -> *mut lsio_value;
    pub fn lsio_value_bytes(data: *const c_void, length: usize) -> *mut lsio_value;
    pub fn lsio_value_list(
        items: *const *mut lsio_value,
        n: usize,
        out: *mut *mut lsio_value,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_value_map(
        keys: *const *mut lsio_value,
        values: *const *mut lsio_value,
        n: usize,
        out: *mut *mut lsio_value,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_value_record(
        names: *const *const c_char,
        values: *const *mut lsio_value,
        n: usize,
        out: *mut *mut lsio_value,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_value_array(
        source: *const lsio_value_source,
        out: *mut *mut lsio_value,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_value_retain(v: *const lsio_value) -> *mut lsio_value;
    pub fn lsio_value_release(v: *mut lsio_value);
    pub fn lsio_value_get(v: *const lsio_value, out: *mut lsio_value_view);
    pub fn lsio_value_kind(v: *const lsio_value) -> c_int;
    pub fn lsio_value_as_int(v: *const lsio_value, out: *mut i64) -> c_int;
    pub fn lsio_value_as_uint(v: *const lsio_value, out: *mut u64) -> c_int;
    pub fn lsio_value_as_double(v: *const lsio_value, out: *mut f64) -> c_int;
    pub fn lsio_value_find(map: *const lsio_value, name: *const c_char) -> *const lsio_value;
}
