//! `lsio/job.h`
use crate::{lsio_context, lsio_error, lsio_request, lsio_transform, lsio_value};
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_JOB_PLAN_ONLY: u32 = 1;
pub const LSIO_JOB_STREAM: u32 = 2;
pub const LSIO_JOB_NO_ENV: u32 = 4;
pub const LSIO_JOB_OWN_CPUS: u32 = 8;
pub const LSIO_JOB_NO_MEMORY: u32 = 16;
pub const LSIO_JOB_NO_STATE: u32 = 32;
pub const LSIO_JOB_STATE_VALUE: u32 = 64;

pub const LSIO_ORDER_COMPLETED: u32 = 0;
pub const LSIO_ORDER_REQUEST: u32 = 1;

crate::opaque!(lsio_job lsio_queue lsio_block lsio_script);

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_job_options {
    pub struct_size: usize,
    pub script: *const c_char,
    pub script_length: usize,
    pub script_name: *const c_char,
    pub args: *const *const c_char,
    pub n_args: usize,
    pub settings: *const *const c_char,
    pub n_settings: usize,
    pub flags: u32,
    pub output: *mut c_void,
    pub output_length: usize,
    pub planning: Option<unsafe extern "C" fn(*mut c_void, u64, u64) -> c_int>,
    pub planning_user: *mut c_void,
    pub loaded: *const lsio_script,
    pub before_s: f64,
    pub queue: *mut lsio_queue,
    pub cookie: *mut c_void,
    pub params: *const lsio_value,
    pub transform: *const lsio_transform,
    pub request: *const lsio_request,
    pub output_release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub output_user: *mut c_void,
    pub order: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct lsio_progress {
    pub struct_size: usize,
    pub steps_requested: u64,
    pub steps: u64,
    pub steps_failed: u64,
    pub bytes_requested: u64,
    pub bytes_done: u64,
    pub elapsed_s: f64,
    pub workers: u32,
    pub workers_running: u32,
    pub began: u32,
    pub deadline_passed: u32,
    pub listed: u64,
    pub looked_at: u64,
    pub queued: u64,
    pub held_bytes: u64,
    pub stalled: u32,
    pub reserved: u32,
}

extern "C" {
    pub fn lsio_submit(
        context: *mut lsio_context,
        options: *const lsio_job_options,
        out: *mut *mut lsio_job,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_job_number(job: *const lsio_job) -> u64;
    pub fn lsio_script_help(
        context: *mut lsio_context,
        options: *const lsio_job_options,
        text: *mut *mut c_char,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_script_load(
        context: *mut lsio_context,
        options: *const lsio_job_options,
        out: *mut *mut lsio_script,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_script_wait(script: *mut lsio_script, error: *mut *mut lsio_error) -> c_int;
    pub fn lsio_script_release(script: *mut lsio_script);
    pub fn lsio_wait(job: *mut lsio_job, timeout_ms: c_int) -> c_int;
    pub fn lsio_cancel(job: *mut lsio_job);
    pub fn lsio_job_abandon(job: *mut lsio_job);
    pub fn lsio_job_progress(job: *const lsio_job, out: *mut lsio_progress);
    pub fn lsio_job_activity(job: *const lsio_job) -> *mut c_char;
    pub fn lsio_job_status(job: *const lsio_job) -> c_int;
    pub fn lsio_job_exit_code(job: *const lsio_job) -> c_int;
    pub fn lsio_job_error(job: *const lsio_job) -> *const lsio_error;
    pub fn lsio_job_state_error(job: *const lsio_job) -> *const lsio_error;
    pub fn lsio_job_state_value(
        job: *const lsio_job,
        out: *mut *mut lsio_value,
        error: *mut *mut lsio_error,
    ) -> c_int;
    pub fn lsio_job_error_count(job: *const lsio_job) -> u64;
    pub fn lsio_job_step_error(job: *const lsio_job, i: usize) -> *const lsio_error;
    pub fn lsio_job_explain(job: *mut lsio_job, json: c_int) -> *const c_char;
    pub fn lsio_job_state(job: *const lsio_job) -> *mut c_void;
    pub fn lsio_job_summary_json(job: *mut lsio_job) -> *const c_char;
    pub fn lsio_job_summary_text(job: *mut lsio_job) -> *const c_char;
    pub fn lsio_job_failures_text(job: *mut lsio_job) -> *const c_char;
    pub fn lsio_job_retain(job: *mut lsio_job);
    pub fn lsio_job_release(job: *mut lsio_job);
}
