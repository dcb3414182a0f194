//! Random cancels, drops and forgets of jobs, batches and futures, on three executors.

use crate::Data;
use futures_util::StreamExt;
use lsio::{files, Context};
use std::future::Future;
use std::mem::forget;
use std::pin::{pin, Pin};
use std::task::{Poll, Waker};

/// Numbers that need not be good.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % n
    }
}

fn polled<F: Future>(f: Pin<&mut F>) -> bool {
    matches!(f.poll(&mut std::task::Context::from_waker(Waker::noop())), Poll::Ready(_))
}

fn check(batch: &lsio::Batch, data: &Data) {
    for chunk in batch {
        for &v in chunk.as_slice::<f32>().unwrap() {
            assert!(v >= 0.0 && v < (8 * data.n) as f32);
        }
    }
}

async fn job(context: &Context, data: &Data, dice: &mut Dice) {
    let chunk = 400 << dice.roll(4);
    let source = files(data.file(dice.roll(8) as usize)).chunk(chunk);
    let builder = context.job(source).elements::<f32>();
    let kept = String::from("kept");
    let mut job = match dice.roll(4) {
        0 => builder.output(vec![0f32; data.n]).submit().unwrap(),
        1 => {
            builder.for_each(move |s| assert!(kept.len() == 4 && !s.as_bytes().is_empty())).submit().unwrap()
        }
        _ => builder.submit().unwrap(),
    };
    match dice.roll(10) {
        0 => drop(job),
        1 => forget(job),
        2 => {
            job.cancel();
            let _ = job.await;
        }
        3 => {
            let handle = job.cancel_handle();
            drop(job);
            handle.cancel();
        }
        4 => {
            let mut future = job.summary();
            let _ = polled(Pin::new(&mut future));
            match dice.roll(2) {
                0 => drop(future),
                _ => forget(future),
            }
        }
        5 => {
            if let Some(Ok(batch)) = job.next().await {
                drop(job);
                check(&batch, data);
                match dice.roll(2) {
                    0 => drop(batch),
                    _ => forget(batch),
                }
            }
        }
        6 => {
            let _ = polled(pin!(job.next()).as_mut());
            assert!(job.await.is_ok());
        }
        7 => assert!(job.wait().is_ok()),
        _ => {
            let mut kept = vec![];
            while let Some(batch) = job.next().await {
                kept.push(batch.unwrap());
            }
            assert!(job.await.is_ok());
            kept.iter().for_each(|b| check(b, data));
        }
    }
}

async fn read(context: &Context, data: &Data, dice: &mut Dice) {
    let begin = dice.roll(1000);
    let file = data.file(dice.roll(8) as usize);
    let mut read = context.get_range(file, begin..begin + dice.roll(3000));
    match dice.roll(5) {
        0 => drop(read),
        1 => {
            let _ = polled(Pin::new(&mut read));
            drop(read);
        }
        2 => {
            let _ = polled(Pin::new(&mut read));
            forget(read);
        }
        _ => assert!(read.await.is_ok()),
    }
}

async fn rounds(context: Context, seed: u64, n: usize) {
    let data = Data::new(8, 2000);
    let mut dice = Dice(seed);
    for _ in 0..n {
        match dice.roll(3) {
            0 => read(&context, &data, &mut dice).await,
            _ => job(&context, &data, &mut dice).await,
        }
    }
}

/// A context of its own, in which forgotten jobs stay for ever: it is never destroyed.
fn context() -> Context {
    Context::builder().workers(2).without_env().build().unwrap()
}

fn count() -> usize {
    if std::env::var_os("LSIO_STRESS").is_some() {
        100_000
    } else {
        3400
    }
}

fn seed() -> u64 {
    let seed =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    let seed = std::env::var("LSIO_SEED").map_or(seed, |s| s.parse().unwrap());
    println!("LSIO_SEED={seed}");
    seed
}

#[test]
fn drops_on_pollster() {
    pollster::block_on(rounds(context(), seed(), count()));
}

#[test]
fn drops_on_smol() {
    let (context, seed, executor) = (context(), seed(), smol::Executor::new());
    let tasks: Vec<_> =
        (0..4).map(|i| executor.spawn(rounds(context.clone(), seed + 2 * i, count() / 4))).collect();
    smol::block_on(executor.run(async {
        for t in tasks {
            t.await;
        }
    }));
}

#[test]
fn drops_on_tokio() {
    let (context, seed) = (context(), seed());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let task = |i: u64| tokio::spawn(rounds(context.clone(), seed + 2 * i, count() / 4));
        for t in (0..4).map(task).collect::<Vec<_>>() {
            t.await.unwrap();
        }
    });
}
