use crate::{context, Data};
use futures_util::StreamExt;
use lsio::{files, ranges, Codec, Context, ErrorKind, Missing, OnError, Order, Script};
use std::io::Write;
use std::time::Duration;

#[test]
fn all_chunks_come_in_batches() {
    let data = Data::new(3, 5000);
    let mut job = context().job(files(data.pattern()).chunk(4096)).elements::<f32>().submit().unwrap();
    let mut seen = vec![];
    let mut steps = vec![];
    for batch in job.batches() {
        let batch = batch.unwrap();
        assert_eq!(batch.len(), batch.iter().len());
        for chunk in &batch {
            steps.push(chunk.step());
            seen.extend_from_slice(chunk.as_slice::<f32>().unwrap());
            assert!(chunk.as_slice::<i32>().is_err());
            assert_eq!(chunk.to_vec::<f32>().unwrap(), chunk.as_slice::<f32>().unwrap());
        }
    }
    let summary = job.wait().unwrap();
    assert_eq!(summary.steps(), 15);
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, (0..15000).map(|v| v as f32).collect::<Vec<_>>());
    steps.sort();
    assert_eq!(steps, (0..15).collect::<Vec<_>>());
}

#[test]
fn batches_come_in_the_order_of_the_request() {
    let data = Data::new(1, 100_000);
    let job = context().job(files(data.file(0)).chunk(4096)).elements::<f32>().order(Order::Request);
    let mut job = job.submit().unwrap();
    let mut at = 0;
    for batch in job.batches() {
        for chunk in &batch.unwrap() {
            assert_eq!(chunk.step(), at);
            at += 1;
        }
    }
    assert_eq!(at, 98);
}

#[test]
fn batches_outlive_job_and_context() {
    let data = Data::new(1, 4096);
    let context = Context::builder().workers(1).build().unwrap();
    let mut job = context.job(files(data.file(0)).chunk(4096)).elements::<f32>().submit().unwrap();
    let kept: Vec<_> = job.batches().map(|b| b.unwrap()).collect();
    let twice = kept.clone();
    drop((job, context, kept));
    let sum: f64 = std::thread::spawn(move || {
        let of = |c: lsio::Chunk<'_>| c.as_slice::<f32>().unwrap().iter().map(|&v| f64::from(v)).sum::<f64>();
        twice.iter().flat_map(|b| b.iter().map(of).collect::<Vec<_>>()).sum()
    })
    .join()
    .unwrap();
    assert_eq!(sum, 4095.0 * 4096.0 / 2.0);
}

#[test]
fn a_job_is_a_stream_and_a_future() {
    let data = Data::new(2, 5000);
    pollster::block_on(async {
        let mut job = context().job(files(data.pattern()).chunk(1000)).submit().unwrap();
        let mut bytes = 0;
        while let Some(batch) = job.next().await {
            bytes += batch.unwrap().iter().map(|c| c.as_bytes().len()).sum::<usize>();
        }
        assert_eq!(bytes, 40_000);
        assert!(job.next().await.is_none());
        assert_eq!(job.await.unwrap().steps(), 40);
        // Who only awaits it lets batches go.
        let job = context().job(files(data.pattern()).chunk(1000)).submit().unwrap();
        assert_eq!(job.await.unwrap().steps(), 40);
    });
}

#[test]
fn ranges_with_tags_of_several_objects() {
    let data = Data::new(2, 1000);
    let source = ranges([data.file(0), data.file(1)], [1, 0, 1], [0, -8, 400], [8, -1, 4]).tags([7, 8, 9]);
    let mut job = context().job(source).order(Order::Request).submit().unwrap();
    let mut seen = vec![];
    for batch in job.batches() {
        for c in &batch.unwrap() {
            seen.push((c.tag(), c.as_slice::<f32>().unwrap().to_vec()));
        }
    }
    assert_eq!(seen, [(7, vec![1000.0, 1001.0]), (8, vec![998.0, 999.0]), (9, vec![1100.0])]);
    let wrong = context().job(ranges("x", [0, 0], [1], [])).submit().unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Usage);
    // A source may be used again, and without arrays it is whole objects.
    let source = ranges([data.file(0), data.file(1)], [], [], []);
    for _ in 0..2 {
        let array = context().job(source.clone()).collect::<u8>().submit().unwrap().wait().unwrap();
        assert_eq!(array.into_array().unwrap().len(), 8000);
    }
}

#[test]
fn a_transform_in_lua_with_params_and_state() {
    let data = Data::new(2, 10_000);
    let job = context()
        .job(files(data.pattern()).chunk(4096))
        .elements::<f32>()
        .param("threshold", 100.5)
        .param("weights", vec![1f32, 2.0])
        .lua_state("double n, above, w;")
        .reduce_by([("n", "sum"), ("above", "sum"), ("w", "max")])
        .lua(
            "function(chunk, state, params)
               state.n = state.n + chunk.n
               state.above = state.above + lsio.k.count_gt(chunk.data, chunk.n, params.threshold)
               state.w = params.weights[1]
             end",
        )
        .submit()
        .unwrap();
    let summary = job.wait().unwrap();
    let value = summary.value().unwrap();
    assert_eq!(value.get("n").unwrap().as_f64(), Some(20_000.0));
    assert_eq!(value.get("above").unwrap().as_i64(), Some(19_899));
    assert_eq!(value.get("w").unwrap().as_f64(), Some(2.0));
}

#[test]
fn records_from_lua() {
    let data = Data::new(3, 10);
    let job = context()
        .job(files(data.pattern()).whole())
        .order(Order::Request)
        .lua("function(chunk) return 'step ' .. tonumber(chunk.index) end");
    let mut job = job.submit().unwrap();
    let texts: Vec<_> = job
        .batches()
        .flat_map(|b| b.unwrap().iter().map(|c| (c.is_record(), c.as_bytes().to_vec())).collect::<Vec<_>>())
        .collect();
    let texts: Vec<_> = texts.into_iter().map(|(r, t)| (r, String::from_utf8(t).unwrap())).collect();
    assert_eq!(texts.iter().map(|t| t.1.trim()).collect::<Vec<_>>(), ["step 0", "step 1", "step 2"]);
    assert!(texts.iter().all(|t| t.0));
}

#[test]
fn whole_scripts_with_args_params_and_ranges() {
    let data = Data::new(1, 1000);
    let context = context();
    let script = Script::new(
        &context,
        "local lsio = require 'lsio'
         return lsio.job { type = 'f32', params = { scale = 1 }, state = 'double sum;', reduce = 'sum',
           source = function(p) return lsio.files(p[1], { chunk = '1KiB' }) end,
           transform = function(c, s, p) s.sum = s.sum + p.scale * lsio.k.sum(c.data, c.n) end }",
    )
    .unwrap();
    script.check().unwrap();
    for scale in [1, 3] {
        let job = context.job(&script).arg(data.file(0).to_str().unwrap()).param("scale", scale);
        let summary = job.submit().unwrap().wait().unwrap();
        let sum = summary.value().unwrap().get("sum").unwrap().as_f64();
        assert_eq!(sum, Some(f64::from(scale) * 499_500.0));
    }
    let script = Script::new(
        &context,
        "return require('lsio').job { type = 'f32', state = 'double n;', reduce = 'sum',
           transform = function(c, s) s.n = s.n + c.n end }",
    )
    .unwrap();
    let job = context.job(ranges(data.file(0), [], [0, 8], [8, 4])).script(&script);
    let summary = job.submit().unwrap().wait().unwrap();
    assert_eq!(summary.value().unwrap().get("n").unwrap().as_i64(), Some(3));
    assert!(context.job(files("x")).script(&script).submit().is_err());
    let other = Context::builder().workers(1).build().unwrap();
    assert_eq!(other.job(&script).submit().unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn compressed_files() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4u8 {
        let file = std::fs::File::create(folder.path().join(format!("{i}.gz"))).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(&vec![i; 100_000]).unwrap();
        gz.finish().unwrap();
    }
    let job = context()
        .job(files(folder.path().join("*.gz")))
        .codec(Codec::Gzip)
        .state(|| 0u64, |a, b| *a += b)
        .transform(|step, sum| *sum += step.as_bytes().iter().map(|&b| u64::from(b)).sum::<u64>());
    assert_eq!(job.submit().unwrap().wait().unwrap().into_state(), Some(600_000));
}

#[test]
fn missing_files_are_left_out_if_so_asked() {
    let data = Data::new(1, 100);
    let both = [data.file(0), data.file(7)];
    let job = context().job(files(&both).missing(Missing::Skip)).submit().unwrap();
    assert_eq!(job.wait().unwrap().steps(), 1);
    let job = context().job(files(&both)).on_error(OnError::Skip).submit().unwrap();
    let summary = job.wait().unwrap();
    assert_eq!((summary.steps(), summary.steps_failed(), summary.exit_code()), (1, 1, 1));
    assert_eq!(summary.errors()[0].kind(), ErrorKind::NotFound);
    assert_eq!(summary.error_count(), 1);
}

#[test]
fn limits_shards_and_figures() {
    let data = Data::new(1, 10_000);
    let job = |b: lsio::JobBuilder| b.submit().unwrap().wait().unwrap();
    let base = || context().job(files(data.pattern()).chunk(4000));
    assert_eq!(job(base().limit(3)).steps(), 3);
    assert_eq!(job(base().shard(0, 4)).steps() + job(base().shard(1, 4)).steps(), 5);
    let mut summary = job(base().deadline(Duration::from_secs(100)).background());
    assert!(summary.json().contains("\"steps\""));
    assert!(!summary.text().is_empty() && !summary.explain().is_empty());
    assert_eq!(summary.progress().bytes(), 40_000);
    assert_eq!(summary.progress().steps_requested(), Some(10));
    assert_eq!(base().setting("workers", "many").submit().unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn many_jobs_at_once() {
    let data = Data::new(8, 2000);
    let context = context();
    let jobs: Vec<_> = (0..200)
        .map(|i| {
            let job = context.job(files(data.file(i % 8)).chunk(1000)).elements::<f32>();
            (i % 8, job.submit().unwrap())
        })
        .collect();
    for (i, mut job) in jobs {
        let of = |b: lsio::Batch| {
            b.iter().flat_map(|c| c.as_slice::<f32>().unwrap().to_vec()).map(f64::from).sum::<f64>()
        };
        let sum: f64 = job.batches().map(|b| of(b.unwrap())).sum();
        let (first, n) = ((i * data.n) as f64, data.n as f64);
        assert_eq!(sum, first * n + n * (n - 1.0) / 2.0);
    }
    assert!(context.stats().jobs >= 200);
}
