use crate::{context, Data};
use lsio::{files, ranges, ErrorKind};

#[test]
fn into_one_vector() {
    let data = Data::new(3, 1000);
    let job = context().job(files(data.pattern()).chunk(512)).elements::<f32>().output(vec![0f32; 3000]);
    let v = job.submit().unwrap().wait().unwrap().into_output::<f32>().unwrap();
    assert_eq!(v, (0..3000).map(|v| v as f32).collect::<Vec<_>>());
}

#[test]
fn plain_ranges_into_a_vector_of_any_type() {
    let data = Data::new(1, 1000);
    let job = context().job(ranges(data.file(0), [], [400, 0], [8, 4])).output(vec![0f32; 3]);
    let v = job.submit().unwrap().wait().unwrap().into_output::<f32>().unwrap();
    assert_eq!(v, [100.0, 101.0, 0.0]);
}

#[test]
fn big_endian_is_turned() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), 513u16.to_be_bytes().repeat(100)).unwrap();
    let job =
        context().job(files(folder.path().join("x"))).elements::<u16>().big_endian().output(vec![0u16; 100]);
    assert_eq!(job.submit().unwrap().wait().unwrap().into_output::<u16>().unwrap(), [513; 100]);
}

#[test]
fn what_does_not_fit() {
    let data = Data::new(1, 1000);
    let job = context().job(files(data.pattern())).elements::<f32>().output(vec![0f32; 999]);
    assert!(job.submit().unwrap().wait().is_err());
    let job = context().job(files(data.pattern())).elements::<f32>().output(vec![0f32; 1000]);
    let summary = job.submit().unwrap().wait().unwrap();
    assert_eq!(summary.into_output::<f64>().unwrap_err().kind(), ErrorKind::Usage);
    let summary = context().job(files(data.pattern())).submit().unwrap().wait().unwrap();
    assert!(summary.into_output::<u8>().is_err());
    let summary = context().job(files(data.pattern())).submit().unwrap().wait().unwrap();
    assert!(summary.value().is_err() && summary.state().is_none());
    assert!(summary.into_array().is_err());
}

#[test]
fn an_array_of_lsios() {
    let data = Data::new(2, 100_000);
    let summary =
        context().job(files(data.pattern())).elements::<f32>().collect::<f32>().submit().unwrap().wait();
    let array = summary.unwrap().into_array().unwrap();
    assert_eq!(array.shape(), [200_000]);
    assert!(array.as_slice::<f32>().unwrap().iter().enumerate().all(|(i, &v)| v == i as f32));
    assert_eq!(array.as_slice::<u32>().unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(array.len(), 800_000);
    assert_eq!(array.to_vec::<f32>().unwrap().len(), 200_000);
    assert_eq!(array.into_vec().len(), 800_000);
}

#[test]
fn an_output_in_variable_sizes_is_cut() {
    let data = Data::new(1, 1000);
    let job = context()
        .job(files(data.pattern()).chunk(400))
        .elements::<f32>()
        .out_max(5)
        .lua("function(c) c.out[0] = c.index return 1 end")
        .output(vec![0f32; 50]);
    let v = job.submit().unwrap().wait().unwrap().into_output::<f32>().unwrap();
    assert_eq!(v, (0..10).map(|v| v as f32).collect::<Vec<_>>());
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_without_a_copy() {
    let data = Data::new(1, 100_000);
    let mut job = context().job(files(data.pattern()).chunk(40_000)).submit().unwrap();
    let mut parts = vec![];
    for batch in job.batches() {
        let batch = batch.unwrap();
        for chunk in &batch {
            let bytes = chunk.to_bytes();
            assert_eq!(bytes.as_ptr(), chunk.as_bytes().as_ptr());
            parts.push((chunk.step(), bytes.slice(4..)));
        }
        if batch.len() == 1 {
            let first = batch.get(0).unwrap().as_bytes().as_ptr();
            assert_eq!(batch.into_bytes().unwrap().as_ptr(), first);
        }
    }
    drop(job);
    parts.sort_by_key(|p| p.0);
    for (i, bytes) in parts {
        assert_eq!(bytes[..4], (i as f32 * 10_000.0 + 1.0).to_le_bytes());
    }
    let ranges = context().get_ranges(data.file(0), &[0..4, 8..12]).wait().unwrap();
    let bytes = ranges.into_bytes();
    assert_eq!(bytes[1][..], 2f32.to_le_bytes());
}
