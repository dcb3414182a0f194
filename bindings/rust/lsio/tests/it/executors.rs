use crate::{context, Data};
use futures_util::StreamExt;
use lsio::files;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

async fn sum(data: &Data) -> f64 {
    let mut job = context().job(files(data.pattern()).chunk(4000)).elements::<f32>().submit().unwrap();
    let mut sum = 0.0;
    while let Some(batch) = job.next().await {
        for chunk in &batch.unwrap() {
            sum += chunk.as_slice::<f32>().unwrap().iter().map(|&v| f64::from(v)).sum::<f64>();
        }
    }
    job.await.unwrap();
    sum
}

const N: usize = 20_000;
const SUM: f64 = (N * (N - 1) / 2) as f64;

#[test]
fn on_pollster() {
    assert_eq!(pollster::block_on(sum(&Data::new(2, N / 2))), SUM);
}

#[test]
fn on_smol() {
    assert_eq!(smol::block_on(sum(&Data::new(2, N / 2))), SUM);
}

#[test]
fn on_tokio() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let data = Arc::new(Data::new(2, N / 2));
    runtime.block_on(async {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let data = Arc::clone(&data);
                tokio::spawn(async move { sum(&data).await })
            })
            .collect();
        for t in tasks {
            assert_eq!(t.await.unwrap(), SUM);
        }
        // A timeout of the runtime's cancels.
        let job = context().job(files(data.pattern()).chunk(400)).for_each(|step| {
            while !step.is_stopping() {
                std::thread::yield_now();
            }
        });
        let job = job.submit().unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(20), job.summary()).await.is_err());
    });
}

#[test]
fn a_task_may_move_to_another_waker() {
    let data = Data::new(1, 100);
    let polled = Arc::new(AtomicBool::new(false));
    let both = Arc::clone(&polled);
    let job = context().job(files(data.pattern())).for_each(move |_| {
        while !both.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    });
    let mut future = job.submit().unwrap().summary();
    // The first one polls and goes away; whoever polls last is woken.
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    polled.store(true, Ordering::SeqCst);
    pollster::block_on(future).unwrap();
}

/// Drops what it holds when it is woken: on a thread of the context's.
struct Dropping(Mutex<Option<lsio::JobFuture>>);

impl Wake for Dropping {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_may_drop_the_job() {
    let data = Data::new(1, 100);
    for own in [false, true].repeat(50) {
        let context = if own { lsio::Context::builder().workers(1).build().unwrap() } else { context() };
        let mut future = context.job(files(data.pattern())).submit().unwrap().summary();
        drop(context);
        let waker = Arc::new(Dropping(Mutex::new(None)));
        let poll = Pin::new(&mut future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(&waker))));
        if poll.is_pending() {
            *waker.0.lock().unwrap() = Some(future);
        }
        let mut waited = 0;
        while Arc::strong_count(&waker) > 1 && waker.0.lock().unwrap().is_some() && waited < 2000 {
            std::thread::sleep(Duration::from_millis(1));
            waited += 1;
        }
        // It may have been woken before the future was put there.
        drop(waker.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    struct Panicking;
    impl Wake for Panicking {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }
    let data = Data::new(1, 100);
    let mut future = context().job(files(data.pattern())).submit().unwrap().summary();
    let waker = Waker::from(Arc::new(Panicking));
    while Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
