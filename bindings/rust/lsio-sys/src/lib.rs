//! The C interface of LSIO as it stands in `lsio.h`, one module for each of its chapters.
//!
//! The header is the manual: it says of every function what it does, who owns what, and which threads may
//! call it. The crate `lsio` is what Rust programs use.
#![no_std]
#![allow(non_camel_case_types)]
#![deny(missing_debug_implementations)]

mod context;
mod error;
mod job;
mod library;
mod queue;
mod request;
mod result;
mod transform;
mod value;

pub use context::*;
pub use error::*;
pub use job::*;
pub use library::*;
pub use queue::*;
pub use request::*;
pub use result::*;
pub use transform::*;
pub use value::*;

/// What C only hands out pointers to: it has no size here, and is neither `Send`, `Sync` nor `Unpin`.
macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            _data: [u8; 0],
            _marker: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }
    )*};
}
pub(crate) use opaque;

pub const LSIO_VERSION_MAJOR: core::ffi::c_int = 0;
pub const LSIO_VERSION_MINOR: core::ffi::c_int = 1;
pub const LSIO_VERSION_PATCH: core::ffi::c_int = 0;
