//! `lsio/queue.h`
use crate::{lsio_block, lsio_context, lsio_error, lsio_job, lsio_queue};
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_QUEUE_COORDINATES: u32 = 1;
pub const LSIO_RESULT_UNALIGNED: u32 = 1;

pub const LSIO_EVENT_RESULTS: u32 = 1;
pub const LSIO_EVENT_STEP_FAILED: u32 = 2;
pub const LSIO_EVENT_DONE: u32 = 3;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_queue_options {
    pub struct_size: usize,
    pub flags: u32,
    pub reserved: u32,
    pub notify: Option<unsafe extern "C" fn(*mut c_void)>,
    pub notify_user: *mut c_void,
    pub notify_destroy: Option<unsafe extern "C" fn(*mut c_void)>,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_result {
    pub step: u64,
    pub tag: i64,
    pub begin: u64,
    pub length: u64,
    pub is_record: u32,
    pub flags: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_event {
    pub kind: u32,
    pub n: u32,
    pub job: *mut lsio_job,
    pub cookie: *mut c_void,
    pub block: *mut lsio_block,
    pub data: *const c_char,
    pub results: *const lsio_result,
    pub error: *const lsio_error,
}

extern "C" {
    pub fn lsio_queue_create(
        context: *mut lsio_context,
        options: *const lsio_queue_options,
        out: *mut *mut lsio_queue,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_queue_release(queue: *mut lsio_queue);
    pub fn lsio_queue_fd(queue: *mut lsio_queue) -> c_int;
    pub fn lsio_queue_take(
        queue: *mut lsio_queue,
        out: *mut lsio_event,
        max: usize,
        timeout_ms: c_int,
    ) -> c_int;
    pub fn lsio_block_retain(block: *mut lsio_block);
    pub fn lsio_block_release(block: *mut lsio_block);
}
