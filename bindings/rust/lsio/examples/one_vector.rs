//! Reads a file into one Vec<f32>, chunk by chunk, each scaled on its way.
//!
//!     cargo run --example one_vector -- data.f32

use lsio::{files, Context, Step};

fn scale(chunk: &Step<'_>, _: &mut ()) -> lsio::Result<()> {
    let out = chunk.out::<f32>()?;
    for (to, from) in out.iter_mut().zip(chunk.as_slice::<f32>()?) {
        *to = from * 0.5;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or("data.f32".into());
    let n = std::fs::metadata(&path)?.len() as usize / size_of::<f32>();
    let job = Context::new()?
        .job(files(path).chunk(256 << 10))
        .elements::<f32>()
        .transform(scale)
        .output(vec![0f32; n]);
    let values = job.submit()?.wait()?.into_output::<f32>()?;
    println!("{} values, the last one is {}", values.len(), values.last().unwrap_or(&0.0));
    Ok(())
}
