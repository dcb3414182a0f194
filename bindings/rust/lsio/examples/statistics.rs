//! Mean, spread and extremes of all values: a state in each worker, merged at the end.
//!
//!     cargo run --example statistics -- 'data/*.f32'

use lsio::{files, Context, Step};

#[derive(Debug)]
struct Stats {
    n: f64,
    mean: f64,
    m2: f64,
    min: f32,
    max: f32,
}

impl Stats {
    fn new() -> Self {
        Stats { n: 0.0, mean: 0.0, m2: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY }
    }

    fn add(&mut self, chunk: &Step<'_>) -> lsio::Result<()> {
        let values = chunk.as_slice::<f32>()?;
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let m2 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
        let min = values.iter().copied().fold(f32::INFINITY, f32::min);
        let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.merge(Stats { n, mean, m2, min, max });
        Ok(())
    }

    fn merge(&mut self, other: Stats) {
        if other.n == 0.0 {
            return;
        }
        let (n, apart) = (self.n + other.n, other.mean - self.mean);
        self.m2 += other.m2 + apart * apart * self.n * other.n / n;
        self.mean += apart * other.n / n;
        self.n = n;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

fn main() -> lsio::Result<()> {
    let pattern = std::env::args().nth(1).unwrap_or("data/*.f32".into());
    let job = Context::new()?
        .job(files(pattern).chunk(256 << 10))
        .elements::<f32>()
        .state(Stats::new, Stats::merge)
        .transform(|chunk, stats| stats.add(chunk));
    if let Some(s) = job.submit()?.wait()?.into_state() {
        let spread = (s.m2 / s.n).sqrt();
        println!("{} values: mean {:.3}, spread {:.3}, from {} to {}", s.n, s.mean, spread, s.min, s.max);
    }
    Ok(())
}
