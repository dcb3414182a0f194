use crate::{context, Data};
use lsio::{files, Codec, Error, ErrorKind, Script};
use std::io::{self, Write};
use std::time::Duration;

fn ended(job: lsio::JobBuilder) -> Error {
    job.submit().unwrap().wait().unwrap_err()
}

#[test]
fn a_file_that_is_not_there() {
    let data = Data::new(1, 10);
    let e = ended(context().job(files(data.file(5))));
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.url().unwrap().ends_with("0005.f32"));
    assert!(!e.is_retryable());
    let e = io::Error::from(e);
    assert_eq!(e.kind(), io::ErrorKind::NotFound);
    assert!(e.get_ref().unwrap().downcast_ref::<Error>().is_some());
    let e = context().get_range(data.file(5), ..).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(context().job(files("a\0b")).submit().unwrap().wait().is_err());
    assert_eq!(context().get_range("a\0b", ..).wait().unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn lua_errors_have_their_line() {
    let data = Data::new(1, 10);
    let e = ended(context().job(files(data.pattern())).lua("function(chunk)\n  local a\n  return a.b\nend"));
    assert_eq!((e.kind(), e.line(), e.step()), (ErrorKind::Transform, Some(3), Some(0)));
    assert_eq!(e.script(), Some("transform"));
    let e = ended(context().job(files(data.pattern())).lua("function(chunk)\n  local = 1\nend"));
    assert_eq!((e.kind(), e.line()), (ErrorKind::Script, Some(2)));
    let script = Script::new(&context(), "return 1").unwrap();
    assert_eq!(script.check().unwrap_err().kind(), ErrorKind::Script);
    assert_eq!(Script::open(&context(), data.file(9)).unwrap_err().kind(), ErrorKind::NotFound);
    let path = data.folder.path().join("job.lua");
    std::fs::write(&path, "return require('lsio').job { source = 1 }").unwrap();
    let e = Script::open(&context(), &path).unwrap().check().unwrap_err();
    assert!(e.script().unwrap().ends_with("job.lua"), "{e:?}");
}

#[test]
fn damaged_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&(0..50_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let mut bytes = gz.finish().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(folder.path().join("x.gz"), bytes).unwrap();
    let e = ended(context().job(files(folder.path().join("x.gz"))).codec(Codec::Gzip).for_each(|_| ()));
    assert_eq!(e.kind(), ErrorKind::Corrupt);
    assert_eq!(io::Error::from(e).kind(), io::ErrorKind::InvalidData);
}

#[test]
fn deadlines() {
    let data = Data::new(200, 10);
    let slow = |_: &lsio::Step<'_>| std::thread::sleep(Duration::from_millis(10));
    let e = ended(context().job(files(data.pattern())).for_each(slow).deadline(Duration::from_millis(50)));
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert_eq!(io::Error::from(e.clone()).kind(), io::ErrorKind::TimedOut);
    assert!(format!("{e:?}").contains("Timeout"));
}

#[test]
fn cancelled() {
    let data = Data::new(200, 10);
    let job = context().job(files(data.pattern())).for_each(|step| {
        while !step.is_stopping() {
            std::thread::yield_now();
        }
    });
    let job = job.submit().unwrap();
    let handle = job.cancel_handle();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        handle.cancel();
        assert!(handle.progress().steps() <= 200);
    });
    assert_eq!(job.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    // Who takes no batches holds nobody up who drops the job.
    let data = Data::new(1, 10_000_000);
    let job = context().job(files(data.pattern()).chunk(65536)).submit().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let begun = std::time::Instant::now();
    job.cancel();
    drop(job);
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_stream_ends_with_its_error_once() {
    let data = Data::new(3, 10);
    let mut job = context()
        .job(files(data.pattern()).whole())
        .lua("function(c) if c.index == 2 then error('two') end return 1 end")
        .out_max(10)
        .submit()
        .unwrap();
    let errors = job.batches().filter(|b| b.is_err()).count();
    assert_eq!(errors, 1);
    assert_eq!(job.batches().count(), 0);
    assert!(job.wait().unwrap_err().message().contains("two"));
}

#[test]
fn settings_are_checked() {
    let e = lsio::Context::builder().backend("abacus").build().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage);
    assert!(e.message().contains("abacus"), "{e}");
    assert!(lsio::version().starts_with("0."));
}
