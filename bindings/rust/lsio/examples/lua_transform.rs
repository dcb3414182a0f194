//! A function in Lua, which may come from a file or a user: values above a threshold.
//!
//!     cargo run --example lua_transform -- 'data/*.f32' 0.7

use lsio::{files, Context};

const COUNT: &str = "function(chunk, state, params)
    state.above = state.above + lsio.k.count_gt(chunk.data, chunk.n, params.threshold)
    state.n = state.n + chunk.n
end";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let pattern = args.next().unwrap_or("data/*.f32".into());
    let threshold: f64 = args.next().map_or(Ok(0.5), |t| t.parse())?;
    let job = Context::new()?
        .job(files(pattern).chunk(256 << 10))
        .elements::<f32>()
        .param("threshold", threshold)
        .lua_state("double n, above;")
        .reduce("sum")
        .lua(COUNT);
    let summary = job.submit()?.wait()?;
    let number = |name| summary.value().ok().and_then(|v| v.get(name)?.as_i64());
    println!("{} of {} values", number("above").unwrap_or(0), number("n").unwrap_or(0));
    Ok(())
}
