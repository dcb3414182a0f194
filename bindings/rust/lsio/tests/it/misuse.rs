//! What is refused where it could not work.

use crate::{context, Data};
use lsio::{files, Error, ErrorKind, OnError, Script};
use std::future::Future;
use std::time::Duration;

fn message<T: std::fmt::Debug>(result: lsio::Result<T>) -> String {
    result.unwrap_err().to_string()
}

/// The memory of a state that a script has declared is C's, and no closure's.
#[test]
fn a_closure_and_a_state_in_lua() {
    let (data, context) = (Data::new(2, 1000), context());
    let job = || context.job(files(data.pattern()).chunk(400));
    for reduce in ["sum", "min"] {
        let job = job().lua_state("double x[64];").reduce(reduce).for_each(|_| ());
        assert!(message(job.submit()).contains("for Lua"));
        let text = format!(
            "local lsio = require 'lsio'\nreturn lsio.job {{ source = lsio.files('{}', {{ chunk = 400 }}),\n\
             type = 'f32', state = 'double x[64];', reduce = '{reduce}' }}",
            data.pattern().display()
        );
        let script = Script::new(&context, &text).unwrap();
        for _ in 0..3 {
            let ended = context.job(&script).for_each(|_| ()).submit().unwrap().wait();
            assert!(message(ended).contains("a state of its own"));
            let finish = context.job(&script).transform(|_, ()| ()).finish(|()| ());
            assert!(message(finish.submit().unwrap().wait()).contains("a state of its own"));
        }
        let own = context.job(&script).state(|| 0u64, |a, b| *a += b).transform(|_, n| *n += 1);
        assert!(own.submit().and_then(|job| job.wait()).is_err());
    }
}

#[test]
fn closures_that_would_be_lost() {
    let (data, context) = (Data::new(1, 1000), context());
    let job = || context.job(files(data.pattern()).chunk(400));
    assert!(message(job().finish(|()| ()).submit()).contains("for a closure"));
    let late = job().finish(|()| ()).state(|| 0u64, |a, b| *a += b).transform(|_, n| *n += 1);
    assert!(message(late.submit()).contains("comes before"));
    let late =
        job().undo_failed().on_error(OnError::Skip).state(|| 0u64, |a, b| *a += b).transform(|_, _| ());
    assert!(message(late.submit()).contains("comes before"));
    assert!(message(job().for_each(|_| ()).state(|| 0u64, |a, b| *a += b).submit()).contains("comes before"));
    assert!(message(job().for_each(|_| ()).for_each(|_| ()).submit()).contains("one closure"));
    assert!(message(job().param("t", 0.5).for_each(|_| ()).submit()).contains("for Lua"));
}

/// A wait in a closure may be for the thread that runs it.
#[test]
fn waits_within_closures() {
    let (data, context) = (Data::new(2, 1000), context());
    let (path, inside, pattern) = (data.file(0), context.clone(), data.pattern());
    let job = context.job(files(data.pattern()).chunk(400)).for_each(move |_| -> Result<(), Error> {
        let said = message(inside.get_range(&path, 0..10).wait());
        assert!(said.contains("can't wait"), "{said}");
        message(inside.get_ranges(&path, &[0..10, 20..30]).wait());
        message(inside.job(files(&pattern)).submit()?.wait());
        let mut job = inside.job(files(&pattern)).submit()?;
        let mut batches = job.batches();
        assert!(batches.next().is_some_and(|b| b.is_err()) && batches.next().is_none());
        Err(Error::new(ErrorKind::Corrupt, "seen"))
    });
    assert!(message(job.submit().unwrap().wait()).contains("seen"));
}

#[test]
fn as_long_as_it_takes() {
    let (data, context) = (Data::new(1, 1000), context());
    let bytes = context.get_range(data.file(0), 0..10).timeout(Duration::MAX).wait().unwrap();
    assert_eq!(bytes.len(), 10);
    let job = context.job(files(data.pattern())).deadline(Duration::MAX).for_each(|_| ());
    assert_eq!(job.submit().unwrap().wait().unwrap().steps(), 1);
    let none = context.get_range(data.file(9), 0..10).timeout(Duration::MAX);
    assert_eq!(none.wait().unwrap_err().kind(), ErrorKind::NotFound);
}

/// Reads are futures as they are, for all that takes some.
#[test]
fn reads_are_futures() {
    fn is_future(_: &(impl Future + Send + Unpin + 'static)) {}
    let (data, context) = (Data::new(1, 1000), context());
    let reads: Vec<_> = (0..20u64).map(|i| context.get_range(data.file(0), i..i + 5)).collect();
    is_future(&reads[0]);
    is_future(&context.get_ranges(data.file(0), &[0..1, 2..3]));
    let all = pollster::block_on(futures_util::future::join_all(reads));
    assert!(all.iter().all(|read| read.as_ref().is_ok_and(|bytes| bytes.len() == 5)));
}
