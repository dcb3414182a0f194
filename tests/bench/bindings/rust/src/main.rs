//! Ratios against object_store's LocalFileSystem: each row runs both sides by turns, and shows the median of each and
//! of their ratios. Above 1 LSIO is faster. Files are made in FOLDER and read from the page cache.
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

const FILES: usize = 8;
const FILE_BYTES: u64 = 41_214_400;
const BLOCK: u64 = 262_144;

struct Bench {
    runtime: Runtime,
    context: lsio::Context,
    store: LocalFileSystem,
    files: Vec<PathBuf>,
    paths: Vec<Path>,
}

fn random(i: u64) -> u64 {
    let mut z = (i + 1).wrapping_mul(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z ^ (z >> 31)
}

/// The i-th range of so many bytes, on a multiple of these.
fn range(i: u64, bytes: u64) -> Range<u64> {
    let at = random(i) % (FILE_BYTES / bytes) * bytes;
    at..at + bytes
}

fn blocks() -> Vec<Range<u64>> {
    (0..FILE_BYTES.div_ceil(BLOCK)).map(|i| i * BLOCK..((i + 1) * BLOCK).min(FILE_BYTES)).collect()
}

impl Bench {
    fn new(folder: &std::path::Path) -> Self {
        let files: Vec<_> = (0..FILES).map(|i| folder.join(format!("rust-{i}.bin"))).collect();
        for (i, file) in files.iter().enumerate() {
            let words = (0..FILE_BYTES / 8).flat_map(|w| random(w * 8 + i as u64).to_le_bytes());
            if std::fs::metadata(file).map_or(0, |m| m.len()) != FILE_BYTES {
                std::fs::write(file, words.collect::<Vec<_>>()).unwrap();
            }
            std::fs::read(file).unwrap();
        }
        let paths = files.iter().map(|f| Path::from_absolute_path(f).unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        Bench { runtime, context: lsio::Context::new().unwrap(), store: LocalFileSystem::new(), files, paths }
    }

    /// Median seconds of both sides, and of the ratios of pairs that ran by turns.
    fn row(&self, name: &str, pairs: usize, bar: f64, ours: &dyn Fn(&Self) -> u64, theirs: &dyn Fn(&Self) -> u64) {
        let timed = |f: &dyn Fn(&Self) -> u64| {
            let begun = Instant::now();
            let bytes = f(self);
            (begun.elapsed().as_secs_f64(), bytes)
        };
        assert_eq!(timed(ours).1, timed(theirs).1, "{name}: both read the same");
        let (mut a, mut b, mut ratios) = (vec![], vec![], vec![]);
        for pair in 0..pairs {
            let (x, y) = match pair % 2 {
                0 => (timed(ours).0, timed(theirs).0),
                _ => {
                    let y = timed(theirs).0;
                    (timed(ours).0, y)
                }
            };
            a.push(x);
            b.push(y);
            ratios.push(y / x);
        }
        let median = |v: &mut Vec<f64>| {
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        let (x, y, r) = (median(&mut a) * 1e3, median(&mut b) * 1e3, median(&mut ratios));
        println!("{name:<16} lsio {x:9.2} ms   object_store {y:9.2} ms   ratio {r:5.2} (at least {bar})");
    }
}

fn one_by_one(b: &Bench, wait: bool) -> u64 {
    let read = |i| b.context.get_range(&b.files[0], range(i, 4096));
    if wait {
        return (0..2000).map(|i| read(i).wait().unwrap().len() as u64).sum();
    }
    b.runtime.block_on(async {
        let mut bytes = 0;
        for i in 0..2000 {
            bytes += read(i).await.unwrap().len() as u64;
        }
        bytes
    })
}

fn store_one_by_one(b: &Bench) -> u64 {
    b.runtime.block_on(async {
        let mut bytes = 0;
        for i in 0..2000 {
            bytes += b.store.get_range(&b.paths[0], range(i, 4096)).await.unwrap().len() as u64;
        }
        bytes
    })
}

/// Many ranges of each file, which are all there at the end of each.
fn ranges(b: &Bench, of: &[Range<u64>]) -> u64 {
    b.runtime.block_on(async {
        let mut bytes = 0;
        for file in &b.files {
            bytes += b.context.get_ranges(file, of).await.unwrap().iter().map(|r| r.len() as u64).sum::<u64>();
        }
        bytes
    })
}

fn store_ranges(b: &Bench, of: &[Range<u64>]) -> u64 {
    b.runtime.block_on(async {
        let mut bytes = 0;
        for path in &b.paths {
            let got = b.store.get_ranges(path, of).await.unwrap();
            bytes += got.iter().map(|r| r.len() as u64).sum::<u64>();
        }
        bytes
    })
}

/// All blocks of all files, as a stream.
fn stream_files(b: &Bench) -> u64 {
    b.runtime.block_on(async {
        let mut job = b.context.job(lsio::files(&b.files).chunk(BLOCK)).submit().unwrap();
        let mut bytes = 0;
        while let Some(batch) = job.next().await {
            bytes += batch.unwrap().iter().map(|c| c.as_bytes().len() as u64).sum::<u64>();
        }
        bytes
    })
}

fn store_files(b: &Bench) -> u64 {
    let of = blocks();
    b.runtime.block_on(async {
        let reads = b.paths.iter().flat_map(|p| of.iter().map(|r| b.store.get_range(p, r.clone())));
        let sizes = stream::iter(reads).buffer_unordered(16).map(|bytes| bytes.unwrap().len() as u64);
        sizes.fold(0, |a, n| async move { a + n }).await
    })
}

fn main() {
    let folder = PathBuf::from(std::env::args().nth(1).expect("a folder"));
    let pairs = std::env::args().nth(2).map_or(7, |p| p.parse().expect("pairs"));
    let b = Bench::new(&folder.canonicalize().unwrap());
    let small: Vec<_> = (0..2000).map(|i| range(i, 4096)).collect();
    let large: Vec<_> = (0..100).map(|i| range(i, BLOCK)).collect();
    b.row("range-wait", pairs, 1.0, &|b| one_by_one(b, true), &store_one_by_one);
    b.row("range-await", pairs, 1.0, &|b| one_by_one(b, false), &store_one_by_one);
    b.row("ranges-4KiB", pairs, 5.0, &|b| ranges(b, &small), &|b| store_ranges(b, &small));
    b.row("ranges-256KiB", pairs, 5.0, &|b| ranges(b, &large), &|b| store_ranges(b, &large));
    b.row("blocks-ranges", pairs, 1.9, &|b| ranges(b, &blocks()), &|b| store_ranges(b, &blocks()));
    b.row("blocks-stream", pairs, 1.9, &stream_files, &store_files);
}
