#![doc = include_str!("../README.md")]
#![deny(missing_docs, missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod array;
mod batch;
mod calls;
mod context;
mod element;
mod error;
mod hooks;
mod job;
mod lua;
mod output;
mod queue;
mod read;
mod script;
#[cfg(feature = "serde")]
mod serde;
mod source;
mod step;
mod summary;
mod value;

pub use array::Array;
pub use batch::{Batch, Chunk, Chunks};
pub use context::{Context, ContextBuilder, ContextStats, LogLevel};
pub use element::{Element, ElementType};
pub use error::{Error, ErrorKind, Result};
pub use job::{Batches, CancelHandle, Codec, Job, JobBuilder, JobFuture, Merge, OnError, Order, Progress};
pub use read::{GetRange, GetRanges, Ranges};
pub use script::Script;
pub use source::{files, ranges, FileSource, IntoPaths, Missing, RangeSource, Source};
pub use step::{IntoYield, Step, Yield};
pub use summary::Summary;
pub use value::{ArrayValue, Value};

/// LSIO's version, of the library that is linked.
pub fn version() -> &'static str {
    // SAFETY: a static string, of digits and dots.
    unsafe { std::ffi::CStr::from_ptr(lsio_sys::lsio_version()) }.to_str().unwrap_or("")
}

/// The pages of `docs/`, whose examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../docs/from-object_store.md")]
mod pages {}
