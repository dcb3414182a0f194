//! Gets these file chunks, applies this function to each, and tells when it is done.
//!
//!     cargo run --example each_chunk -- 'data/*.f32'

use lsio::{files, Context};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

fn main() -> lsio::Result<()> {
    let pattern = std::env::args().nth(1).unwrap_or("data/*.f32".into());
    let zeros = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&zeros);
    let context = Context::new()?;
    let job = context.job(files(pattern).chunk(256 << 10)).for_each(move |chunk| {
        let n = chunk.as_bytes().iter().filter(|&&b| b == 0).count();
        count.fetch_add(n as u64, Ordering::Relaxed);
    });
    let summary = job.submit()?.wait()?;
    println!("{} chunks, {} zero bytes", summary.steps(), zeros.load(Ordering::Relaxed));
    Ok(())
}
