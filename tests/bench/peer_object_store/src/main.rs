//! Ranges of a file through object_store's LocalFileSystem, one after the other or many at once, under tokio's
//! multi-thread runtime with its defaults. Takes the same ranges as ref_jobs and drive_jobs; adds up the first
//! word of each as proof and prints one JSON line.
use std::ops::Range;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const LENGTH: u64 = 4096;
const WARM: u64 = 1000;
const USAGE: &str = "peer_object_store [options] FILE
  --n=N            ranges of 4 KiB (20000)
  --inflight=N     at once (1)
  --call=NAME      get_range, or get_ranges with one range (get_range)";

struct Options {
    n: u64,
    inflight: usize,
    many: bool,
    file: String,
}

fn fail(text: impl std::fmt::Display) -> ! {
    eprintln!("peer_object_store: {text}");
    std::process::exit(5)
}

fn options() -> Options {
    let mut o = Options { n: 20000, inflight: 1, many: false, file: String::new() };
    for word in std::env::args().skip(1) {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        let number = || value.parse().ok().filter(|n| *n > 0).unwrap_or_else(|| fail(USAGE));
        match (name, value) {
            ("--n", _) => o.n = number(),
            ("--inflight", _) => o.inflight = number() as usize,
            ("--call", "get_range") => o.many = false,
            ("--call", "get_ranges") => o.many = true,
            _ if !word.starts_with('-') && o.file.is_empty() => o.file = word,
            _ => fail(USAGE),
        }
    }
    if o.file.is_empty() { fail(USAGE) } else { o }
}

/// The i-th range: as ref_block() of ref_jobs.h has it.
fn range(i: u64, blocks: u64) -> Range<u64> {
    let mut z = (i + 1).wrapping_mul(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    let at = (z ^ (z >> 31)) % blocks * LENGTH;
    at..at + LENGTH
}

/// User and system time of the process, seconds.
fn cpu() -> f64 {
    let mut u = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the struct that it is given.
    let u = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, u.as_mut_ptr());
        u.assume_init()
    };
    (u.ru_utime.tv_sec + u.ru_stime.tv_sec) as f64 + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec) as f64
}

/// Reads one range. -> its first word, microseconds from call to bytes.
async fn read(store: &LocalFileSystem, path: &Path, many: bool, r: Range<u64>) -> (u64, f64) {
    let began = Instant::now();
    let bytes = if many {
        store.get_ranges(path, &[r]).await.map(|mut all| all.remove(0))
    } else {
        store.get_range(path, r).await
    };
    match bytes {
        Ok(b) if b.len() as u64 == LENGTH => {
            (u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as u64, began.elapsed().as_secs_f64() * 1e6)
        }
        Ok(b) => fail(format!("{} bytes, not {LENGTH}", b.len())),
        Err(e) => fail(e),
    }
}

/// The first n ranges. -> sum of words; times are added to `took`.
async fn run(store: &LocalFileSystem, path: &Path, o: &Options, n: u64, blocks: u64, took: &mut Vec<f64>) -> u64 {
    let mut words = 0;
    if o.inflight == 1 {
        for i in 0..n {
            let (word, us) = read(store, path, o.many, range(i, blocks)).await;
            words += word;
            took.push(us);
        }
    } else {
        let mut reads = stream::iter(0..n)
            .map(|i| read(store, path, o.many, range(i, blocks)))
            .buffer_unordered(o.inflight);
        while let Some((word, us)) = reads.next().await {
            words += word;
            took.push(us);
        }
    }
    words
}

fn main() {
    let o = options();
    let blocks = std::fs::metadata(&o.file).unwrap_or_else(|e| fail(e)).len() / LENGTH;
    if blocks == 0 {
        fail("the file is too short")
    }
    let store = LocalFileSystem::new();
    let path = Path::from_filesystem_path(&o.file).unwrap_or_else(|e| fail(e));
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap_or_else(|e| fail(e));
    runtime.block_on(async {
        let mut took = Vec::with_capacity(o.n as usize);
        run(&store, &path, &o, WARM.min(o.n), blocks, &mut took).await;
        took.clear();
        let (began, used) = (Instant::now(), cpu());
        let words = run(&store, &path, &o, o.n, blocks, &mut took).await;
        let (wall, used) = (began.elapsed().as_secs_f64(), cpu() - used);
        took.sort_by(f64::total_cmp);
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "{{\"wall_s\": {wall:.6}, \"cpu_s\": {used:.6}, \"ops\": {}, \"bytes\": {}, \"words\": {words}, \
             \"us_per_range\": {:.3}, \"p50_us\": {:.1}, \"p99_us\": {:.1}}}",
            o.n, o.n * LENGTH, wall * 1e6 / o.n as f64, at(0.5), at(0.99)
        );
    });
}
