//! `lsio/library.h`
use core::ffi::{c_char, c_void};

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_setting {
    pub name: *const c_char,
    pub argument: *const c_char,
    pub env: *const c_char,
    pub help: *const c_char,
}

extern "C" {
    pub fn lsio_version() -> *const c_char;
    pub fn lsio_doctor() -> *mut c_char;
    pub fn lsio_free(p: *mut c_void);
    pub fn lsio_size_format(bytes: u64, buf: *mut c_char, n: usize) -> *const c_char;
    pub fn lsio_settings() -> *const lsio_setting;
}
