//! `lsio/context.h`
use crate::lsio_error;
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_CONTEXT_SIGBUS: u32 = 1;
pub const LSIO_CONTEXT_NO_ENV: u32 = 2;
pub const LSIO_CONTEXT_BY_FIRST_JOB: u32 = 4;

pub const LSIO_LOG_PRINT: c_int = 10;
pub const LSIO_LOG_INFO: c_int = 20;
pub const LSIO_LOG_WARNING: c_int = 30;

crate::opaque!(lsio_context);

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_context_options {
    pub struct_size: usize,
    pub flags: u32,
    pub trace_events: u32,
    pub settings: *const *const c_char,
    pub n_settings: usize,
    pub log: Option<unsafe extern "C" fn(*mut c_void, u64, c_int, *const c_char, usize)>,
    pub log_user: *mut c_void,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct lsio_context_stats {
    pub struct_size: usize,
    pub jobs: u64,
    pub jobs_running: u32,
    pub threads: u32,
    pub attended: u32,
    pub waiting: u32,
    pub memory_limit: u64,
    pub memory_lent: u64,
    pub memory_kept: u64,
    pub memory_reserved: u64,
    pub jobs_queued: u64,
    pub bytes_read: u64,
    pub memory_held: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct lsio_thread_stats {
    pub struct_size: usize,
    pub attended: u32,
    pub waiting: u32,
    pub bytes_read: u64,
}

extern "C" {
    pub fn lsio_context_create(
        options: *const lsio_context_options,
        out: *mut *mut lsio_context,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_context_destroy(context: *mut lsio_context);
    pub fn lsio_context_trace(
        context: *mut lsio_context,
        path: *const c_char,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_context_get_stats(context: *mut lsio_context, out: *mut lsio_context_stats);
    pub fn lsio_context_get_thread_stats(
        context: *mut lsio_context,
        thread: u32,
        out: *mut lsio_thread_stats,
    ) -> c_int;
}
