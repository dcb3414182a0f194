use crate::Data;
use lsio::{files, Context, LogLevel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TALKING: &str = "function(chunk) print('hello', 1) lsio.log('note') end";

#[test]
fn what_jobs_say_goes_to_a_closure() {
    let data = Data::new(1, 10);
    let said = Arc::new(Mutex::new(vec![]));
    let to = Arc::clone(&said);
    let context = Context::builder().workers(1).log(move |level, text| {
        to.lock().unwrap().push((level, text.to_owned()));
        assert_ne!(level, LogLevel::Info, "a panic in it is dropped");
    });
    let context = context.build().unwrap();
    context.job(files(data.pattern())).lua(TALKING).lua_state("double n;").submit().unwrap().wait().unwrap();
    let want = [(LogLevel::Print, "hello\t1".to_owned()), (LogLevel::Info, "note".to_owned())];
    assert_eq!(*said.lock().unwrap(), want);
    drop(context);
    assert_eq!(Arc::strong_count(&said), 1, "it goes with the context");
}

#[cfg(feature = "tracing")]
#[test]
fn what_jobs_say_goes_to_tracing() {
    #[derive(Clone, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Text {
        fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (data, text) = (Data::new(1, 10), Text::default());
    let to = text.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).with_ansi(false).finish();
    // Workers speak on threads of the context's: the subscriber is the process'.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let context = Context::builder().workers(1).tracing().build().unwrap();
    context.job(files(data.pattern())).lua(TALKING).lua_state("double n;").submit().unwrap().wait().unwrap();
    let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("INFO lsio: note") && text.contains("hello\t1"), "{text}");
}

#[test]
fn a_trace_of_what_threads_did() {
    let data = Data::new(1, 10);
    let context = Context::builder().workers(1).trace_events(100).build().unwrap();
    context.job(files(data.pattern())).for_each(|_| ()).submit().unwrap().wait().unwrap();
    let path = data.folder.path().join("trace.json");
    context.trace(&path).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(['{', '[']));
    assert!(context.trace(data.folder.path().join("none/trace.json")).is_err());
}

#[test]
fn dropping_the_last_job_of_a_context_takes_no_time() {
    let data = Data::new(1, 10);
    let context = Context::builder().workers(1).build().unwrap();
    let (begun, slow) = std::sync::mpsc::channel();
    let job = context.job(files(data.pattern())).for_each(move |_| {
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    });
    let job = job.submit().unwrap();
    drop(context);
    slow.recv().unwrap();
    let begun = Instant::now();
    drop(job);
    assert!(begun.elapsed() < Duration::from_millis(400));
    assert!(slow.recv().is_err(), "the closure goes");
}

/// Descriptors and threads of many contexts, jobs and reads; in a process where no other test runs.
#[test]
fn nothing_stays() {
    if std::env::var_os("LSIO_TEST_ALONE").is_none() {
        let mut run = std::process::Command::new(std::env::current_exe().unwrap());
        run.args(["--exact", "logs::nothing_stays"]).env("LSIO_TEST_ALONE", "1");
        let run = run.output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let data = Data::new(1, 100);
    let count = |what: &str| std::fs::read_dir(what).unwrap().count();
    let round = || {
        let context = Context::builder().workers(1).build().unwrap();
        for _ in 0..20 {
            context.job(files(data.pattern())).submit().unwrap().wait().unwrap();
            drop(context.job(files(data.pattern())).submit().unwrap());
            context.get_range(data.file(0), ..8).wait().unwrap();
        }
    };
    round();
    let before = (count("/proc/self/fd"), count("/proc/self/task"));
    (0..20).for_each(|_| round());
    assert_eq!((count("/proc/self/fd"), count("/proc/self/task")), before);
}
