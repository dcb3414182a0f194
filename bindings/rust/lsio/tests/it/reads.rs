use crate::{context, Data};
use lsio::{ErrorKind, Merge};
use std::time::Duration;

fn content(n: usize) -> Vec<u8> {
    (0..n).flat_map(|v| (v as f32).to_le_bytes()).collect()
}

#[test]
fn one_range() {
    let data = Data::new(1, 5000);
    let (file, all) = (data.file(0), content(5000));
    let context = context();
    assert_eq!(*context.get_range(&file, ..).wait().unwrap(), all[..]);
    assert_eq!(*context.get_range(&file, 100..).wait().unwrap(), all[100..]);
    assert_eq!(*context.get_range(&file, 100..=199).wait().unwrap(), all[100..200]);
    assert_eq!(*context.get_range(&file, ..7).wait().unwrap(), all[..7]);
    assert_eq!(*context.get_range(&file, 7..7).wait().unwrap(), all[..0]);
    let read = context.get_range(&file, 4..4100).timeout(Duration::from_secs(60));
    assert_eq!(read.wait().unwrap().into_vec(), &all[4..4100]);
    pollster::block_on(async {
        assert_eq!(*context.get_range(&file, 5..4101).await.unwrap(), all[5..4101]);
        assert_eq!(*context.get_range(&file, ..).await.unwrap(), all[..]);
        let many = (0..100u64).map(|i| context.get_range(&file, i..i + 50));
        for (i, bytes) in futures_util::future::join_all(many).await.into_iter().enumerate() {
            assert_eq!(*bytes.unwrap(), all[i..i + 50]);
        }
    });
}

#[test]
fn many_ranges() {
    let data = Data::new(1, 5000);
    let (file, all) = (data.file(0), content(5000));
    let ranges = [0..10, 10..10, 19_990..20_000, 5..4000];
    let got = context().get_ranges(&file, &ranges).wait().unwrap();
    assert_eq!((got.len(), got.is_empty()), (4, false));
    for (r, bytes) in ranges.iter().zip(got.iter()) {
        assert_eq!(*bytes, all[r.start as usize..r.end as usize]);
    }
    assert_eq!(got[2], all[19_990..]);
    assert!(got.get(4).is_none());
    assert_eq!(got.into_array().len(), 4015);
    let got = pollster::block_on(async { context().get_ranges(&file, &ranges).await.unwrap() });
    assert_eq!(got[3], all[5..4000]);
    assert!(context().get_ranges(&file, &[]).wait().unwrap().is_empty());
    assert!(pollster::block_on(async { context().get_ranges(&file, &[]).await.unwrap() }).is_empty());
}

/// Small results, and those that lie in LSIO's memory, which is used again.
#[test]
fn large_ranges() {
    let data = Data::new(1, 100_000);
    let (file, all, context) = (data.file(0), content(100_000), context());
    let ranges: Vec<_> = (0..100u64).rev().map(|i| i * 4000..i * 4000 + 4000).collect();
    let mut places = vec![];
    for n in [1, 16, 17, 100, 100] {
        let got = context.get_ranges(&file, &ranges[..n]).wait().unwrap();
        for (r, bytes) in ranges.iter().zip(got.iter()) {
            assert_eq!(*bytes, all[r.start as usize..r.end as usize]);
        }
        places.push(got[0].as_ptr() as usize);
        assert_eq!(got.into_array().into_vec().len(), n * 4000);
    }
    assert_eq!(places[3], places[4]);
    assert_eq!(*context.get_range(&file, 1..399_999).wait().unwrap(), all[1..399_999]);
}

#[test]
fn ranges_into_a_vector() {
    let data = Data::new(1, 100_000);
    let (file, all, context) = (data.file(0), content(100_000), context());
    let mut memory = vec![1, 2, 3];
    for n in [0, 10, 300_000, 7, 0, 200_000] {
        let (capacity, place) = (memory.capacity(), memory.as_ptr());
        let read = context.get_ranges(&file, &[5..5 + n, 0..0]).output(memory);
        let got = if n > 10 { read.wait().unwrap() } else { pollster::block_on(read).unwrap() };
        assert_eq!(got[0], all[5..5 + n as usize]);
        memory = got.into_array().into_vec();
        assert_eq!(memory.len(), n as usize);
        assert!(memory.capacity() >= capacity);
        assert!(capacity < n as usize || memory.as_ptr() == place);
    }
    let none = context.get_ranges(&file, &[]).output(memory).wait().unwrap().into_array().into_vec();
    assert!(none.is_empty() && none.capacity() >= 300_000);
    assert!(context.get_ranges(data.file(7), &[0..1, 2..3]).output(none).wait().is_err());
}

#[test]
fn gaps_are_read_through_or_not() {
    let data = Data::new(1, 5000);
    let (file, all, context) = (data.file(0), content(5000), context());
    for what in [Merge::Auto, Merge::Never, Merge::UpTo(0), Merge::UpTo(1000)] {
        let read = || context.get_ranges(&file, &[100..200, 300..400, 150..350]).merge_reads(what);
        let got = read().timeout(Duration::from_secs(60)).wait().unwrap();
        assert_eq!((&got[0], &got[1], &got[2]), (&all[100..200], &all[300..400], &all[150..350]));
        assert_eq!(*read().wait().unwrap().into_array(), *got.into_array());
    }
}

/// Variables for jobs would leave ranges out.
#[test]
fn reads_take_no_notice_of_variables() {
    let exe = std::env::current_exe().unwrap();
    let run = std::process::Command::new(exe)
        .args(["--exact", "reads::many_ranges", "reads::what_is_no_range"])
        .envs([("LSIO_ON_ERROR", "skip"), ("LSIO_LIMIT", "1")])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    assert!(String::from_utf8_lossy(&run.stdout).contains("2 passed"));
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn what_is_no_range() {
    let data = Data::new(1, 10);
    let context = context();
    let e = context.get_range(data.file(0), 20..10).wait().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Usage);
    assert_eq!(context.get_range(data.file(0), u64::MAX..).wait().unwrap_err().kind(), ErrorKind::Usage);
    let said = context.get_range(data.file(0), ..=u64::MAX).wait().unwrap_err().to_string();
    assert!(said.contains("18446744073709551615 is beyond"), "{said}");
    assert!(context.get_range(data.file(0), 30..50).wait().is_err());
    assert!(context.get_range(data.file(0), 0..1 << 62).wait().is_err());
    assert!(pollster::block_on(async { context.get_range(data.file(0), 30..50).await }).is_err());
    assert!(pollster::block_on(async { context.get_ranges(data.file(3), &[0..1, 2..3]).await }).is_err());
}

/// Of a file that is in the page cache and at rest no job is made, and it is the same.
#[test]
fn what_is_at_hand() {
    let (data, context) = (Data::new(1, 100_000), context());
    let (path, jobs) = (data.file(0), || context.stats().jobs);
    let whole = std::fs::read(&path).unwrap();
    let at_hand = || {
        let before = jobs();
        assert_eq!(&context.get_range(&path, 5..4101).wait().unwrap()[..], &whole[5..4101]);
        jobs() == before
    };
    let since = std::time::Instant::now();
    while !at_hand() {
        if since.elapsed() > Duration::from_secs(15) {
            eprintln!("files here are never read without a job");
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let before = jobs();
    assert_eq!(
        &context.get_range(&path, whole.len() as u64 - 7..).wait().unwrap()[..],
        &whole[whole.len() - 7..]
    );
    let ranges = [100..200, 0..10, 7..7, 150..65000];
    let room = Vec::with_capacity(70_000);
    let at = room.as_ptr();
    let parts = context.get_ranges(&path, &ranges).output(room).wait().unwrap();
    for (part, range) in parts.iter().zip(&ranges) {
        assert_eq!(part, &whole[range.start as usize..range.end as usize]);
    }
    let vector = parts.into_array().into_vec();
    assert_eq!(vector.as_ptr(), at, "the vector's own memory");
    // Others have turns among reads that need no waiting.
    let others = std::cell::Cell::new(0);
    let (alone, done) = (std::cell::Cell::new(0), std::cell::Cell::new(false));
    pollster::block_on(futures_util::future::join(
        async {
            for _ in 0..1000 {
                alone.set(alone.get() + 1);
                context.get_range(&path, 0..10).await.unwrap();
            }
            done.set(true);
        },
        async {
            while !done.get() {
                others.set(others.get() + 1);
                assert!(alone.replace(0) <= 64);
                futures_util::pending!();
            }
        },
    ));
    assert!(others.get() >= 15, "{}", others.get());
    // Where others rename or mount just then, a path is not followed.
    assert!(jobs() - before < 100);
    let before = jobs();
    // What is not is told as ever.
    let end = whole.len() as u64;
    assert!(context.get_range(&path, end - 5..end + 5).wait().is_err());
    assert!(jobs() > before);
}
