//! `lsio/error.h`
use core::ffi::{c_char, c_int};

pub const LSIO_OK: c_int = 0;
pub const LSIO_ERR_USAGE: c_int = -2;
pub const LSIO_ERR_SCRIPT: c_int = -3;
pub const LSIO_ERR_SOURCE: c_int = -4;
pub const LSIO_ERR_IO: c_int = -5;
pub const LSIO_ERR_OUTPUT: c_int = -6;
pub const LSIO_ERR_TRANSFORM: c_int = -7;
pub const LSIO_ERR_CORRUPT: c_int = -8;
pub const LSIO_ERR_LIMIT: c_int = -9;
pub const LSIO_ERR_NOMEM: c_int = -10;
pub const LSIO_ERR_CANCELLED: c_int = -11;
pub const LSIO_ERR_UNSUPPORTED: c_int = -12;
pub const LSIO_ERR_BUSY: c_int = -13;
pub const LSIO_ERR_BUG: c_int = -14;
pub const LSIO_ERR_FORKED: c_int = -15;
pub const LSIO_ERR_TIMEOUT: c_int = -16;

pub const LSIO_KIND_NONE: c_int = 0;
pub const LSIO_KIND_OTHER: c_int = 1;
pub const LSIO_KIND_USAGE: c_int = 2;
pub const LSIO_KIND_SCRIPT: c_int = 3;
pub const LSIO_KIND_NOT_FOUND: c_int = 4;
pub const LSIO_KIND_PERMISSION: c_int = 5;
pub const LSIO_KIND_EXISTS: c_int = 6;
pub const LSIO_KIND_CHANGED: c_int = 7;
pub const LSIO_KIND_IO: c_int = 8;
pub const LSIO_KIND_NO_SPACE: c_int = 9;
pub const LSIO_KIND_TIMEOUT: c_int = 10;
pub const LSIO_KIND_CANCELLED: c_int = 11;
pub const LSIO_KIND_TRANSFORM: c_int = 12;
pub const LSIO_KIND_CORRUPT: c_int = 13;
pub const LSIO_KIND_LIMIT: c_int = 14;
pub const LSIO_KIND_NO_MEMORY: c_int = 15;
pub const LSIO_KIND_UNSUPPORTED: c_int = 16;
pub const LSIO_KIND_BUSY: c_int = 17;
pub const LSIO_KIND_FORKED: c_int = 18;
pub const LSIO_KIND_BUG: c_int = 19;

crate::opaque!(lsio_error);

extern "C" {
    pub fn lsio_strerror(code: c_int) -> *const c_char;
    pub fn lsio_error_name(code: c_int) -> *const c_char;
    pub fn lsio_error_kind_name(kind: c_int) -> *const c_char;
    pub fn lsio_error_code(e: *const lsio_error) -> c_int;
    pub fn lsio_error_kind(e: *const lsio_error) -> c_int;
    pub fn lsio_error_os_code(e: *const lsio_error) -> c_int;
    pub fn lsio_error_message(e: *const lsio_error) -> *const c_char;
    pub fn lsio_error_object(e: *const lsio_error) -> *const c_char;
    pub fn lsio_error_offset(e: *const lsio_error) -> u64;
    pub fn lsio_error_length(e: *const lsio_error) -> u64;
    pub fn lsio_error_step(e: *const lsio_error) -> u64;
    pub fn lsio_error_file(e: *const lsio_error) -> *const c_char;
    pub fn lsio_error_line(e: *const lsio_error) -> c_int;
    pub fn lsio_error_is_retryable(e: *const lsio_error) -> c_int;
    pub fn lsio_error_dup(e: *const lsio_error) -> *mut lsio_error;
    pub fn lsio_error_json(e: *const lsio_error) -> *mut c_char;
    pub fn lsio_error_free(e: *mut lsio_error);
}
