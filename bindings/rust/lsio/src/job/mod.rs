//! Jobs: how they are described, submitted, and taken to their end.

mod builder;
mod handle;
mod running;
mod submit;

pub(crate) use builder::deadline;
pub use builder::{Codec, JobBuilder, Merge, OnError, Order};
pub(crate) use handle::Handle;
pub use handle::{CancelHandle, Progress};
pub use running::{Batches, Job, JobFuture};
pub(crate) use submit::no_options;
