use crate::{context, Data};
use lsio::{files, ranges, Codec, Error, ErrorKind, OnError, Step, Yield};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

#[derive(Debug, Default, Clone, PartialEq)]
struct Stats {
    n: u64,
    sum: f64,
    names: Vec<String>,
}

impl Stats {
    fn add(&mut self, step: &Step<'_>) -> lsio::Result<()> {
        let v = step.as_slice::<f32>()?;
        self.n += v.len() as u64;
        self.sum += v.iter().map(|&v| f64::from(v)).sum::<f64>();
        self.names.push(step.path().file_name().unwrap().to_string_lossy().into_owned());
        Ok(())
    }

    fn merge(&mut self, other: Stats) {
        self.n += other.n;
        self.sum += other.sum;
        self.names.extend(other.names);
    }
}

#[test]
fn each_chunk_gets_the_closure() {
    let data = Data::new(4, 1000);
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let job = context().job(files(data.pattern()).chunk(1000)).for_each(move |step| {
        assert!(step.is_first() && step.is_last() && !step.is_stopping());
        assert_eq!((step.object_size(), step.offset() % 1000), (4000, 0));
        count.fetch_add(step.as_bytes().len(), Ordering::Relaxed);
    });
    let summary = job.submit().unwrap().wait().unwrap();
    assert_eq!((summary.steps(), seen.load(Ordering::Relaxed)), (16, 16_000));
    drop(summary);
    // With the job the closure goes, and what it holds; on whatever thread ends the job.
    for _ in 0..1000 {
        if Arc::strong_count(&seen) == 1 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the closure is still there");
}

#[test]
fn states_are_merged() {
    let data = Data::new(20, 1000);
    let job = context()
        .job(files(data.pattern()).chunk(2000))
        .elements::<f32>()
        .state(Stats::default, Stats::merge)
        .transform(|step, stats| stats.add(step))
        .finish(|stats| stats.names.dedup());
    let stats = job.submit().unwrap().wait().unwrap().into_state().unwrap();
    assert_eq!((stats.n, stats.sum), (20_000, 20_000.0 * 19_999.0 / 2.0));
    assert!(stats.names.len() >= 20);
    // No steps: what a worker would begin with.
    let job = context().job(files(data.pattern())).limit(0).state(|| 42, |a, b| *a += b).transform(|_, _| ());
    match job.submit().and_then(|j| j.wait()) {
        Ok(summary) => assert_eq!(summary.into_state(), Some(42)),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Usage),
    }
}

#[test]
fn closures_write_results() {
    let data = Data::new(2, 1000);
    let job = context()
        .job(files(data.pattern()).chunk(400))
        .elements::<f32>()
        .transform(|step, _| -> lsio::Result<()> {
            let out = step.out::<f32>()?;
            assert!(step.out::<f32>().is_err(), "it can be had once");
            for (to, from) in out.iter_mut().zip(step.as_slice::<f32>()?) {
                *to = from * 2.0;
            }
            Ok(())
        })
        .output(vec![0f32; 2000]);
    let out = job.submit().unwrap().wait().unwrap().into_output::<f32>().unwrap();
    assert_eq!(out, (0..2000).map(|v| v as f32 * 2.0).collect::<Vec<_>>());
}

#[test]
fn closures_yield_some_or_nothing() {
    let data = Data::new(1, 1000);
    let job = context().job(files(data.pattern()).chunk(400)).elements::<f32>().out_max(10).transform(
        |step, _| -> lsio::Result<Yield> {
            if step.index() % 2 == 1 {
                return Ok(Yield::Nothing);
            }
            step.out::<f32>()?[0] = step.index() as f32;
            Ok(Yield::Count(1))
        },
    );
    let mut job = job.submit().unwrap();
    let of = |b: lsio::Batch| b.iter().map(|c| c.as_slice::<f32>().unwrap().to_vec()).collect::<Vec<_>>();
    let mut seen: Vec<f32> = job.batches().flat_map(|b| of(b.unwrap())).flatten().collect();
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, [0.0, 2.0, 4.0, 6.0, 8.0]);
    let job =
        context().job(files(data.pattern())).out_max(10).transform(|_, _| Yield::Count(11)).submit().unwrap();
    assert!(job.wait().unwrap_err().message().contains("room for 10"));
}

#[test]
fn closures_over_ranges_need_no_script() {
    let data = Data::new(1, 1000);
    let job = context()
        .job(ranges(data.file(0), [], [0, 4, 8], [4, 4, 4]))
        .state(Vec::new, |a: &mut Vec<f32>, b| a.extend(b))
        .transform(|step, v| v.extend_from_slice(step.as_slice::<f32>().unwrap()));
    let mut v = job.submit().unwrap().wait().unwrap().into_state().unwrap();
    v.sort_by(f32::total_cmp);
    assert_eq!(v, [0.0, 1.0, 2.0]);
}

#[test]
fn errors_of_closures_are_the_jobs() {
    let data = Data::new(1, 1000);
    let failing = |kind: ErrorKind| {
        let job = context().job(files(data.pattern()).chunk(400)).for_each(move |step| {
            if step.index() == 3 {
                return Err(Error::new(kind, "no good: ü"));
            }
            Ok(())
        });
        job.submit().unwrap().wait().unwrap_err()
    };
    let e = failing(ErrorKind::Corrupt);
    assert_eq!(
        (e.kind(), e.step(), e.offset(), e.length()),
        (ErrorKind::Corrupt, Some(3), Some(1200), Some(400))
    );
    assert!(e.message().contains("no good: ü"), "{e}");
    assert!(e.url().unwrap().ends_with("0000.f32"));
    assert_eq!(failing(ErrorKind::NotFound).kind(), ErrorKind::Transform);
    let job = context().job(files(data.pattern())).for_each(|_| "x".parse::<u32>().map(|_| ()));
    assert!(job.submit().unwrap().wait().unwrap_err().message().contains("invalid digit"));
    let long = context().job(files(data.pattern())).for_each(|_| Err::<(), _>("é".repeat(100_000)));
    assert!(long.submit().unwrap().wait().unwrap_err().message().contains("éééé"));
}

#[test]
fn a_panic_ends_the_job_with_its_message() {
    let data = Data::new(1, 10_000);
    for what in [OnError::Fail, OnError::Skip] {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let job = context()
            .job(files(data.pattern()).chunk(400))
            .on_error(what)
            .state(|| 0, |_, _| panic!("merged what was left half-done"))
            .transform(move |step, n| {
                seen.fetch_add(1, Ordering::SeqCst);
                *n += 1;
                if step.index() == 2 {
                    panic!("step {} is bad", step.index());
                }
            });
        let e = job.submit().unwrap().wait().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Transform, "{e}");
        assert!(e.message().contains("panicked: step 2 is bad"), "{e}");
        assert!(calls.load(Ordering::SeqCst) <= 100);
    }
}

#[test]
fn panics_elsewhere() {
    struct Bomb(#[allow(dead_code)] u8);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let data = Data::new(40, 100);
    let source = || files(data.pattern());
    let job = context().job(source()).state(|| -> u8 { panic!("no state") }, |_, _| ()).transform(|_, _| ());
    assert!(job.submit().unwrap().wait().unwrap_err().message().contains("no state"));
    let job = context()
        .job(source())
        .state(|| 1, |_, _| ())
        .transform(|_, _| ())
        .finish(|_| -> () { panic!("no end") });
    let ended = |job: lsio::JobBuilder<i32>| job.submit().unwrap().wait().unwrap_err().message().to_owned();
    assert!(ended(job).contains("no end"));
    // Steps wait for each other, so that two workers have some.
    let both = Arc::new(std::sync::Barrier::new(2));
    let first = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let job = context().job(source()).state(|| 1, |_, _| panic!("no merge")).transform(move |step, _| {
        if first[step.worker() as usize % 2].fetch_add(1, Ordering::SeqCst) == 0 {
            both.wait();
        }
    });
    assert!(ended(job).contains("no merge"));
    // A state, a closure, and what is thrown, that panic when they are dropped.
    let job =
        context().job(source()).state(|| Bomb(0), |_, from| std::mem::forget(from)).transform(|_, _| ());
    std::mem::forget(job.submit().unwrap().wait().unwrap().into_state());
    let bomb = Bomb(1);
    let job = context().job(source()).for_each(move |_| {
        let _held = &bomb;
    });
    job.submit().unwrap().wait().unwrap();
    let job = context().job(source()).for_each(|_| -> () { std::panic::panic_any(Bomb(2)) });
    assert!(job.submit().unwrap().wait().unwrap_err().message().contains("panicked"));
}

#[test]
fn failed_steps_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..10u8 {
        std::fs::write(folder.path().join(format!("{i}")), [i]).unwrap();
    }
    let job = context()
        .job(files(folder.path().join("*")))
        .on_error(OnError::Skip)
        .state(Vec::new, |a: &mut Vec<u8>, b| a.extend(b))
        .undo_failed()
        .transform(|step, seen| {
            seen.push(step.as_bytes()[0]);
            if step.as_bytes()[0] % 3 == 0 {
                return Err("a third");
            }
            Ok(())
        });
    let summary = job.submit().unwrap().wait().unwrap();
    assert_eq!((summary.steps(), summary.steps_failed()), (6, 4));
    assert!(summary.errors().iter().all(|e| e.message().contains("a third")));
    let mut seen = summary.into_state().unwrap();
    seen.sort();
    assert_eq!(seen, [1, 2, 4, 5, 7, 8]);
}

#[test]
fn pieces_scratch_and_what_cannot_be() {
    let data = Data::new(1, 100_000);
    let job = context()
        .job(files(data.pattern()).whole())
        .elements::<f32>()
        .piece(40_000)
        .state(|| (0, 0), |a, b| *a = (a.0 + b.0, a.1 + b.1))
        .transform(|step, n| {
            assert_eq!(step.position(), Some(n.0));
            step.scratch::<f32>().unwrap()[..10].copy_from_slice(&step.as_slice::<f32>().unwrap()[..10]);
            *n = (n.0 + step.as_slice::<f32>().unwrap().len() as u64, n.1 + u64::from(step.is_last()));
        });
    assert_eq!(job.submit().unwrap().wait().unwrap().into_state(), Some((100_000, 1)));
    let wrong = [
        context().job(files("x")).lua("function() end").for_each(|_| ()).submit().unwrap_err(),
        context().job(files("x")).for_each(|_| ()).state(|| (), |_, _| ()).submit().unwrap_err(),
        context().job(files("x")).state(|| (), |_, _| ()).codec(Codec::Zstd).submit().unwrap_err(),
    ];
    assert!(wrong.iter().all(|e| e.kind() == ErrorKind::Usage));
}

#[test]
fn the_last_context_may_go_within_a_closure_or_a_job() {
    let data = Data::new(1, 1000);
    for _ in 0..20 {
        let context = lsio::Context::builder().workers(1).log(|_, _| ()).build().unwrap();
        let held = context.clone();
        let job = context.job(files(data.pattern()).chunk(100)).for_each(move |_| {
            let _ = held.stats();
        });
        let job = job.submit().unwrap();
        drop(context);
        drop(job);
    }
}
