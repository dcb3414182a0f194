//! Ratios against object_store's LocalFileSystem. Files are made in FOLDER and read from the page cache. Each side
//! of a row is a process of its own, as they would settle each other's allocator; both run by turns, and a row
//! shows the median of each and of their ratios. Above 1 LSIO is faster. `copy` is what threads, as many as there
//! are CPUs, take to copy the same bytes between memory that is there: nobody who copies is faster.
//!
//! `least` is that of the shortest times, which other programs have disturbed least.
//!
//! Memory of results: `dropped`, as programs do it, after each call; `fresh`, held until the run is over, and none
//! of runs before is used again; `reused`, dropped, and object_store's allocator never gives anything back;
//! `vector`, the same, and LSIO reads into one vector of the program's.
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use futures_util::stream::{self, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

const FILES: usize = 8;
const FILE_BYTES: u64 = 41_214_400;
const LARGE_BYTES: u64 = 1 << 30;
const BLOCK: u64 = 262_144;
const READS: u64 = 2000;

#[derive(Clone, Copy, PartialEq)]
enum What {
    Wait,
    Await,
    Ranges { n: u64, bytes: u64 }, // of each file
    Apart { n: u64, bytes: u64 },  // the same, and LSIO is told to leave gaps out
    Sparse,                        // of one large file
    Blocks,
    Stream,
}

const MEMORIES: &[&str] = &["dropped", "fresh", "reused", "vector"];

const ROWS: &[(&str, What, &[&str], f64)] = &[
    ("range-wait", What::Wait, &["dropped"], 1.0),
    ("range-await", What::Await, &["dropped"], 1.0),
    ("ranges-4KiB", What::Ranges { n: READS, bytes: 4096 }, MEMORIES, 5.0),
    ("apart-4KiB", What::Apart { n: READS, bytes: 4096 }, MEMORIES, 5.0),
    ("sparse-4KiB", What::Sparse, MEMORIES, 5.0),
    ("ranges-256KiB", What::Ranges { n: 100, bytes: BLOCK }, MEMORIES, 5.0),
    ("blocks-ranges", What::Blocks, MEMORIES, 1.9),
    ("blocks-stream", What::Stream, &["dropped", "reused"], 1.9),
];

fn random(i: u64) -> u64 {
    let mut z = (i + 1).wrapping_mul(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

/// The i-th range of so many bytes, on a multiple of these.
fn range(i: u64, bytes: u64, of: u64) -> Range<u64> {
    let at = random(i) % (of / bytes) * bytes;
    at..at + bytes
}

impl What {
    fn ranges(self) -> Vec<Range<u64>> {
        match self {
            What::Wait | What::Await => (0..READS).map(|i| range(i, 4096, FILE_BYTES)).collect(),
            What::Ranges { n, bytes } | What::Apart { n, bytes } => {
                (0..n).map(|i| range(i, bytes, FILE_BYTES)).collect()
            }
            What::Sparse => (0..20_000).map(|i| range(i, 4096, LARGE_BYTES)).collect(),
            What::Blocks | What::Stream => (0..FILE_BYTES.div_ceil(BLOCK))
                .map(|i| i * BLOCK..((i + 1) * BLOCK).min(FILE_BYTES))
                .collect(),
        }
    }

    fn files(self, folder: &std::path::Path) -> Vec<PathBuf> {
        match self {
            What::Sparse => vec![folder.join("rust-large.bin")],
            What::Wait | What::Await => vec![folder.join("rust-0.bin")],
            _ => (0..FILES).map(|i| folder.join(format!("rust-{i}.bin"))).collect(),
        }
    }
}

fn make(path: &std::path::Path, bytes: u64, seed: u64) {
    if std::fs::metadata(path).map_or(0, |m| m.len()) != bytes {
        let words = (0..bytes / 8).flat_map(|w| random(w * 8 + seed).to_le_bytes());
        std::fs::write(path, words.collect::<Vec<_>>()).unwrap();
    }
    std::fs::read(path).unwrap();
}

/// Of a result: its length, and a word of it.
fn proof(bytes: &[u8]) -> u64 {
    bytes.len() as u64 + u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

// ---- a side: a process that does its part of a row as often as it is told to

struct Side {
    what: What,
    memory: String,
    files: Vec<PathBuf>,
    ranges: Vec<Range<u64>>,
    runtime: Runtime,
}

/// What may be done before, and after, the time of a run begins.
trait Runs {
    fn prepare(&mut self, _: &Side) {}
    fn run(&mut self, side: &Side) -> u64;
}

struct Lsio {
    context: lsio::Context,
    room: Vec<u8>,
}

impl Lsio {
    async fn ranges(&mut self, side: &Side) -> u64 {
        let (mut sum, mut held) = (0u64, vec![]);
        for file in &side.files {
            let mut read = self.context.get_ranges(file, &side.ranges);
            if matches!(side.what, What::Apart { .. }) {
                read = read.merge_reads(lsio::Merge::Never);
            }
            if side.memory == "vector" {
                read = read.output(std::mem::take(&mut self.room));
            }
            let got = read.await.unwrap();
            sum += got.iter().map(proof).sum::<u64>();
            match side.memory.as_str() {
                "vector" => self.room = got.into_array().into_vec(),
                "fresh" => held.push(got),
                _ => {}
            }
        }
        sum
    }

    async fn stream(&self, side: &Side) -> u64 {
        let mut job = self.context.job(lsio::files(&side.files).chunk(BLOCK)).submit().unwrap();
        let mut sum = 0;
        while let Some(batch) = job.next().await {
            sum += batch.unwrap().iter().map(|c| proof(c.as_bytes())).sum::<u64>();
        }
        sum
    }
}

impl Runs for Lsio {
    fn prepare(&mut self, side: &Side) {
        if side.memory == "fresh" {
            self.context = lsio::Context::new().unwrap();
            self.context.get_range(&side.files[0], 0..4096).wait().unwrap();
        }
    }

    fn run(&mut self, side: &Side) -> u64 {
        let file = &side.files[0];
        match side.what {
            What::Wait => {
                let read = |r: &Range<u64>| self.context.get_range(file, r.clone()).wait().unwrap();
                side.ranges.iter().map(|r| proof(&read(r))).sum()
            }
            What::Await => side.runtime.block_on(async {
                let mut sum = 0;
                for r in &side.ranges {
                    sum += proof(&self.context.get_range(file, r.clone()).await.unwrap());
                }
                sum
            }),
            What::Stream => side.runtime.block_on(self.stream(side)),
            _ => side.runtime.block_on(self.ranges(side)),
        }
    }
}

struct Store {
    store: LocalFileSystem,
    paths: Vec<Path>,
}

impl Store {
    async fn all(&self, side: &Side) -> u64 {
        let mut sum = 0;
        match side.what {
            What::Wait | What::Await => {
                for r in &side.ranges {
                    sum += proof(&self.store.get_range(&self.paths[0], r.clone()).await.unwrap());
                }
            }
            What::Stream => {
                let of = |p| side.ranges.iter().map(move |r| self.store.get_range(p, r.clone()));
                let reads = self.paths.iter().flat_map(of);
                let proofs = stream::iter(reads).buffer_unordered(16).map(|bytes| proof(&bytes.unwrap()));
                sum = proofs.fold(0, |a, n| async move { a + n }).await;
            }
            _ => {
                let mut held = vec![];
                for path in &self.paths {
                    let got = self.store.get_ranges(path, &side.ranges).await.unwrap();
                    sum += got.iter().map(|bytes| proof(bytes)).sum::<u64>();
                    if side.memory == "fresh" {
                        held.push(got);
                    }
                }
            }
        }
        sum
    }
}

extern "C" {
    fn malloc_trim(pad: usize) -> i32;
}

impl Runs for Store {
    fn prepare(&mut self, side: &Side) {
        if side.memory == "fresh" {
            // SAFETY: it gives back what nobody uses.
            unsafe { malloc_trim(0) };
        }
    }

    fn run(&mut self, side: &Side) -> u64 {
        side.runtime.block_on(self.all(side))
    }
}

struct Copies {
    files: Vec<Vec<u8>>,
    room: Vec<u8>,
}

impl Runs for Copies {
    fn run(&mut self, side: &Side) -> u64 {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let part = side.ranges.len().div_ceil(threads);
        let size = |of: &[Range<u64>]| of.iter().map(|r| (r.end - r.start) as usize).sum::<usize>();
        self.room.resize(size(&side.ranges), 0);
        let mut sum = 0;
        for file in &self.files {
            std::thread::scope(|scope| {
                let (mut rest, mut parts) = (&mut self.room[..], vec![]);
                for of in side.ranges.chunks(part) {
                    let (mut to, behind) = rest.split_at_mut(size(of));
                    rest = behind;
                    parts.push(scope.spawn(move || {
                        let mut sum = 0;
                        for r in of {
                            let (now, left) = to.split_at_mut((r.end - r.start) as usize);
                            now.copy_from_slice(&file[r.start as usize..r.end as usize]);
                            sum += proof(now);
                            to = left;
                        }
                        sum
                    }));
                }
                sum += parts.into_iter().map(|p| p.join().unwrap()).sum::<u64>();
            });
        }
        sum
    }
}

fn be(side: &str, row: &str, memory: &str, folder: &std::path::Path) {
    let what = ROWS.iter().find(|r| r.0 == row).expect("a row").1;
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let side_of =
        Side { what, memory: memory.into(), files: what.files(folder), ranges: what.ranges(), runtime };
    let files = &side_of.files;
    let mut runs: Box<dyn Runs> = match side {
        "lsio" => Box::new(Lsio { context: lsio::Context::new().unwrap(), room: Vec::new() }),
        "store" => Box::new(Store {
            store: LocalFileSystem::new(),
            paths: files.iter().map(|f| Path::from_absolute_path(f).unwrap()).collect(),
        }),
        _ => Box::new(Copies {
            files: files.iter().map(|f| std::fs::read(f).unwrap()).collect(),
            room: vec![],
        }),
    };
    for line in std::io::stdin().lines() {
        line.unwrap();
        runs.prepare(&side_of);
        let begun = Instant::now();
        let sum = runs.run(&side_of);
        println!("{} {sum}", begun.elapsed().as_secs_f64());
    }
}

// ---- the rows

struct Other {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn new(side: &str, row: &str, memory: &str, folder: &std::path::Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--side", side, row, memory]).arg(folder);
        if side == "store" && matches!(memory, "reused" | "vector") {
            command.envs([
                ("MALLOC_MMAP_MAX_", "0"),
                ("MALLOC_TRIM_THRESHOLD_", "1099511627776"),
                ("MALLOC_ARENA_MAX", "1"),
            ]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Other { child, to, from }
    }

    fn run(&mut self) -> (f64, u64) {
        self.to.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let (seconds, sum) = line.trim().split_once(' ').expect("a side has failed");
        (seconds.parse().unwrap(), sum.parse().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.to.take();
        let _ = self.child.wait();
    }
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn row(name: &str, what: What, memory: &str, bar: f64, pairs: usize, folder: &std::path::Path) {
    let copies = matches!(what, What::Ranges { .. } | What::Sparse | What::Blocks);
    let mut sides: Vec<_> = ["lsio", "store"].iter().map(|s| Other::new(s, name, memory, folder)).collect();
    if copies {
        sides.push(Other::new("copy", name, memory, folder));
    }
    let sums: Vec<_> = sides.iter_mut().map(|s| s.run().1).collect();
    assert!(sums.iter().all(|s| *s == sums[0]), "{name}: all read the same");
    let mut times = vec![vec![]; sides.len()];
    for pair in 0..pairs {
        let mut order: Vec<_> = (0..sides.len()).collect();
        if pair % 2 == 1 {
            order.reverse();
        }
        for i in order {
            times[i].push(sides[i].run().0);
        }
    }
    let ratio = median(times[0].iter().zip(&times[1]).map(|(x, y)| y / x).collect());
    let least = |i: usize| times[i].iter().copied().fold(f64::INFINITY, f64::min);
    let least = least(1) / least(0);
    let ms: Vec<_> = times.into_iter().map(|t| median(t) * 1e3).collect();
    let copy = ms.get(2).map_or(String::new(), |c| format!("copy {c:7.2} ms"));
    println!(
        "{name:<14} {memory:<8} lsio {:8.2} ms   object_store {:8.2} ms   {copy:<16} ratio {ratio:5.2}, least {least:5.2} (bar {bar})",
        ms[0], ms[1]
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "--side") {
        return be(&args[1], &args[2], &args[3], std::path::Path::new(&args[4]));
    }
    let folder = PathBuf::from(args.first().expect("a folder")).canonicalize().unwrap();
    let pairs = args.get(1).map_or(7, |p| p.parse().expect("pairs"));
    let wanted = args.get(2..).unwrap_or(&[]);
    (0..FILES).for_each(|i| make(&folder.join(format!("rust-{i}.bin")), FILE_BYTES, i as u64));
    make(&folder.join("rust-large.bin"), LARGE_BYTES, 99);
    for (name, what, memories, bar) in ROWS {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            memories.iter().for_each(|memory| row(name, *what, memory, *bar, pairs, &folder));
        }
    }
}
