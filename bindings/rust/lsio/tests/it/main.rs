//! The crate over real files.

mod closures;
mod errors;
mod executors;
mod jobs;
mod logs;
mod misuse;
mod outputs;
mod reads;
mod stress;
mod values;

use lsio::Context;
use std::path::PathBuf;
use std::sync::OnceLock;

/// One context for all tests: it is kept, as a program keeps it.
fn context() -> Context {
    static ONE: OnceLock<Context> = OnceLock::new();
    ONE.get_or_init(|| Context::builder().without_env().workers(2).log(|_, _| ()).build().unwrap()).clone()
}

/// A folder with files of f32: file `i` holds `n` of them, from `i * n` on.
struct Data {
    folder: tempfile::TempDir,
    n: usize,
}

impl Data {
    fn new(files: usize, n: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..files {
            let bytes: Vec<u8> = (i * n..(i + 1) * n).flat_map(|v| (v as f32).to_le_bytes()).collect();
            std::fs::write(folder.path().join(format!("{i:04}.f32")), bytes).unwrap();
        }
        Data { folder, n }
    }

    fn pattern(&self) -> PathBuf {
        self.folder.path().join("*.f32")
    }

    fn file(&self, i: usize) -> PathBuf {
        self.folder.path().join(format!("{i:04}.f32"))
    }
}
