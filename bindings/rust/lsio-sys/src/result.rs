//! `lsio/result.h`
use crate::lsio_job;
use core::ffi::{c_char, c_int, c_void};

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_array {
    pub struct_size: usize,
    pub data: *mut c_void,
    pub bytes: usize,
    pub type_: *const c_char,
    pub ndim: u32,
    pub shape: [i64; 32],
    pub owner: *mut c_void,
}

extern "C" {
    pub fn lsio_job_output(job: *const lsio_job, out: *mut lsio_array) -> c_int;
    pub fn lsio_job_take_output(job: *mut lsio_job, out: *mut lsio_array) -> c_int;
    pub fn lsio_array_free(array: *mut lsio_array);
}
