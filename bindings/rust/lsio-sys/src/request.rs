//! `lsio/request.h`
use crate::{lsio_context, lsio_error};
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_REQUEST_BORROW: u32 = 1;

crate::opaque!(lsio_request);

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_request_options {
    pub struct_size: usize,
    pub flags: u32,
    pub reserved: u32,
    pub objects: *const *const c_char,
    pub n_objects: usize,
    pub n: usize,
    pub object: *const u32,
    pub offset: *const i64,
    pub length: *const i64,
    pub tag: *const i64,
    pub release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub user: *mut c_void,
    pub group: *const i64,
}

extern "C" {
    pub fn lsio_request_create(
        options: *const lsio_request_options,
        out: *mut *mut lsio_request,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_request_retain(request: *const lsio_request) -> *mut lsio_request;
    pub fn lsio_request_release(request: *mut lsio_request);
    pub fn lsio_read_now(
        context: *mut lsio_context,
        object: *const c_char,
        offset: *const i64,
        length: *const i64,
        n: usize,
        out: *mut c_void,
        room: usize,
    ) -> i64;
}
