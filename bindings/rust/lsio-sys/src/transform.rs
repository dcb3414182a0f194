//! `lsio/transform.h`
use core::ffi::{c_char, c_int, c_void};

pub const LSIO_STEP_FIRST: u32 = 1;
pub const LSIO_STEP_LAST: u32 = 2;
pub const LSIO_STEP_ALIGNED: u32 = 4;
pub const LSIO_STEP_PADDED: u32 = 8;
pub const LSIO_STEP_LENT: u32 = 16;
pub const LSIO_STEP_OUT_ALIGNED: u32 = 32;
pub const LSIO_STEP_OUT_PADDED: u32 = 64;
pub const LSIO_STEP_NOTHING: c_int = -1;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_step {
    pub size: u32,
    pub flags: u32,
    pub data: *const c_void,
    pub bytes: u64,
    pub n: u64,
    pub out: *mut c_void,
    pub out_n: u64,
    pub scratch: *mut c_void,
    pub scratch_bytes: u64,
    pub index: u64,
    pub pos: i64,
    pub object: u64,
    pub object_size: u64,
    pub offset: u64,
    pub length: u64,
    pub tag: i64,
    pub name: *const c_char,
    pub name_length: u64,
    pub type_: *const c_char,
    pub out_type: *const c_char,
    pub item: u32,
    pub out_item: u32,
    pub worker: u32,
    pub n_chunks: u32,
    pub user: *mut c_void,
    pub message: *mut c_char,
    pub message_size: u64,
    /// Volatile in C: read it with `read_volatile`.
    pub stop: *const i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lsio_transform {
    pub struct_size: usize,
    pub user: *mut c_void,
    pub open_worker:
        Option<unsafe extern "C" fn(*mut c_void, u32, *mut *mut c_void, *mut c_char, usize) -> i32>,
    pub step: Option<unsafe extern "C" fn(*const lsio_step, *mut c_void) -> i32>,
    pub finish: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_char, usize) -> i32>,
    pub close: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    pub release: Option<unsafe extern "C" fn(*mut c_void)>,
    pub state_size: usize,
    pub state_align: usize,
    pub merge: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void, *mut c_char, usize) -> i32>,
    pub save: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    pub undo: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
}
