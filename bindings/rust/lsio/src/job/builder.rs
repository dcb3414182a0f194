//! What a job is to do.

use super::running::Job;
use super::submit;
use crate::context::Context;
use crate::element::{Element, ElementType};
use crate::error::{Error, Result};
use crate::hooks::{FinishFn, InitFn, MergeFn, StepFn};
use crate::lua;
use crate::output::Output;
use crate::script::Script;
use crate::source::Source;
use crate::step::{IntoYield, Step};
use crate::value::Value;
use std::fmt;
use std::time::Duration;

/// In which order batches come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As they come; of groups, all of one before any of the next.
    #[default]
    Completed,
    /// That of the steps.
    Request,
}

/// How chunks are compressed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Codec {
    Lz4,
    Lz4Block,
    Zstd,
    Gzip,
    Zlib,
    Blosc,
    /// As each chunk's first bytes say.
    Auto,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Codec::Lz4 => "lz4",
            Codec::Lz4Block => "lz4_block",
            Codec::Zstd => "zstd",
            Codec::Gzip => "gzip",
            Codec::Zlib => "zlib",
            Codec::Blosc => "blosc",
            Codec::Auto => "auto",
        }
    }
}

/// What a step that fails does to its job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It ends the job.
    #[default]
    Fail,
    /// It is left out; [`Summary::errors`](crate::Summary::errors) tells. A closure that panics ends the job all the
    /// same.
    Skip,
}

/// Which gaps between chunks are read through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Merge {
    /// As LSIO reckons.
    #[default]
    Auto,
    /// None.
    Never,
    /// Those of at most so many bytes.
    UpTo(u64),
}

/// As the setting has it; `None`: longer than anybody waits.
pub(crate) fn deadline(time: Duration) -> Option<String> {
    const MOST: Duration = Duration::from_secs(100 * 365 * 86400);
    (time < MOST).then(|| format!("{}ms", time.as_millis().max(1)))
}

impl Merge {
    /// As the setting `merge` has it; `None`: as without.
    pub(crate) fn word(self) -> Option<String> {
        match self {
            Merge::Auto => None,
            Merge::Never => Some("never".into()),
            Merge::UpTo(bytes) => Some(bytes.to_string()),
        }
    }
}

pub(crate) enum Results {
    Default,
    Stream,
    None,
    Output(Output),
    Array(ElementType),
}

/// All of a job but its closures.
pub(crate) struct Plan {
    pub(crate) context: Context,
    pub(crate) source: Source,
    pub(crate) script: Option<Script>,
    pub(crate) lua: Option<String>,
    pub(crate) rows: Vec<(&'static str, String)>,
    pub(crate) element: ElementType,
    pub(crate) big_endian: bool,
    pub(crate) params: Vec<(String, Value)>,
    pub(crate) args: Vec<String>,
    pub(crate) settings: Vec<String>,
    pub(crate) on_error: OnError,
    pub(crate) results: Results,
    pub(crate) order: Order,
    pub(crate) problem: Option<Error>,
}

/// A job that is being described: made by [`Context::job`], and ends with [`submit`](JobBuilder::submit).
///
/// `S` is the state that each worker has for its closure.
#[must_use = "a job begins with `submit`"]
pub struct JobBuilder<S = ()> {
    pub(crate) plan: Plan,
    pub(crate) step: Option<StepFn<S>>,
    pub(crate) init: InitFn<S>,
    pub(crate) merge: Option<MergeFn<S>>,
    pub(crate) finish: Option<FinishFn<S>>,
    pub(crate) keep: Option<fn(&S) -> S>,
}

impl JobBuilder {
    pub(crate) fn new(context: Context, source: Source) -> Self {
        let plan = Plan {
            context,
            source,
            script: None,
            lua: None,
            rows: Vec::new(),
            element: ElementType::U8,
            big_endian: false,
            params: Vec::new(),
            args: Vec::new(),
            settings: Vec::new(),
            on_error: OnError::Fail,
            results: Results::Default,
            order: Order::Completed,
            problem: None,
        };
        JobBuilder { plan, step: None, init: Box::new(|| ()), merge: None, finish: None, keep: None }
    }

    /// Gives each worker a state of its own, which the closure gets with each step. When all steps have run, the
    /// states are merged into one: [`Summary::into_state`](crate::Summary::into_state). Comes before the closure.
    ///
    /// `merge` adds its second argument to the first. Which worker gets which step is not fixed, so it should
    /// not matter.
    ///
    /// ```
    /// # fn main() -> lsio::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # std::fs::write(dir.path().join("a.u8"), [1u8; 1000]).unwrap();
    /// # let pattern = dir.path().join("*.u8");
    /// let context = lsio::Context::new()?;
    /// let job = context
    ///     .job(lsio::files(pattern).chunk(100))
    ///     .state(|| 0u64, |into, from| *into += from)
    ///     .transform(|step, sum| *sum += step.as_bytes().iter().map(|&b| u64::from(b)).sum::<u64>())
    ///     .submit()?;
    /// assert_eq!(job.wait()?.into_state(), Some(1000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn state<T: Send + 'static>(
        mut self,
        init: impl Fn() -> T + Send + Sync + 'static,
        merge: impl Fn(&mut T, T) + Send + Sync + 'static,
    ) -> JobBuilder<T> {
        if self.step.is_some() || self.finish.is_some() || self.keep.is_some() {
            self.plan.problem = Some(Error::usage("`state` comes before the closures that get it"));
        }
        JobBuilder {
            plan: self.plan,
            step: None,
            init: Box::new(init),
            merge: Some(Box::new(merge)),
            finish: None,
            keep: None,
        }
    }

    /// Runs a closure on each chunk, and nothing is delivered: what comes of it is the closure's affair.
    pub fn for_each<Y: IntoYield>(self, f: impl Fn(&Step<'_>) -> Y + Send + Sync + 'static) -> Self {
        let mut made = self.transform(move |step: &Step<'_>, _: &mut ()| f(step));
        if matches!(made.plan.results, Results::Default) {
            made.plan.results = Results::None;
        }
        made
    }
}

impl<S: Send + 'static> JobBuilder<S> {
    /// Runs a closure on each chunk, on the core that has it in its cache. It gets the state of its worker.
    ///
    /// Several workers run it at the same time. What it writes to [`Step::out`] is the step's result. An
    /// error that it returns, or a panic, is the job's, with its text.
    pub fn transform<Y: IntoYield>(
        mut self,
        f: impl Fn(&Step<'_>, &mut S) -> Y + Send + Sync + 'static,
    ) -> Self {
        if self.step.is_some() {
            self.plan.problem = Some(Error::usage("a job has one closure for its chunks"));
        }
        self.step = Some(Box::new(move |step, state| f(step, state).into_yield()));
        self
    }

    /// Runs a closure on each worker's state, once, when it has run its last step.
    pub fn finish<Y: IntoYield>(mut self, f: impl Fn(&mut S) -> Y + Send + Sync + 'static) -> Self {
        self.finish = Some(Box::new(move |state| f(state).into_yield()));
        self
    }

    /// Under [`OnError::Skip`], steps that fail leave no trace in the state: it is cloned before each step.
    pub fn undo_failed(mut self) -> Self
    where
        S: Clone,
    {
        self.keep = Some(S::clone);
        self
    }

    /// The job is that of a script, which has no source and gets this one's ranges.
    pub fn script(mut self, script: &Script) -> Self {
        self.plan.script = Some(script.clone());
        self
    }

    /// Runs a function in Lua on each chunk: `"function(chunk, state, params) ... end"`, or text that ends with
    /// `return` and a function.
    pub fn lua(mut self, transform: impl Into<String>) -> Self {
        self.plan.lua = Some(transform.into());
        self
    }

    /// Fields of the state of each worker of a transform in Lua, as C has them: `"double sum, n;"`. They are
    /// merged by [`reduce`](JobBuilder::reduce); [`Summary::value`](crate::Summary::value) has the result.
    pub fn lua_state(self, fields: &str) -> Self {
        self.row("state", lua::quoted(fields.as_bytes()))
    }

    /// How all fields of a state in Lua are merged: "sum", "min", "max", "prod", "moments", ...
    pub fn reduce(self, reducer: &str) -> Self {
        self.row("reduce", lua::quoted(reducer.as_bytes()))
    }

    /// How each field of a state in Lua is merged: `[("n", "sum"), ("top", "max")]`.
    pub fn reduce_by<'a>(self, reducers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let quoted = |t: &str| lua::quoted(t.as_bytes());
        let rows: Vec<_> =
            reducers.into_iter().map(|(f, r)| format!("[{}] = {}", quoted(f), quoted(r))).collect();
        self.row("reduce", format!("{{ {} }}", rows.join(", ")))
    }

    /// A parameter, which Lua gets by its name in `params`. An array (`Vec<f32>`) is not copied.
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.plan.params.push((name.into(), value.into()));
        self
    }

    /// A parameter of a script as on a command line: `"--threshold=0.7"`, or a word.
    pub fn arg(mut self, text: impl Into<String>) -> Self {
        self.plan.args.push(text.into());
        self
    }

    /// Type of the elements that chunks have, once decoded. By default bytes.
    pub fn elements<T: Element>(mut self) -> Self {
        self.plan.element = T::TYPE;
        self
    }

    /// They are stored with the most significant byte first. What a transform sees is in native order.
    pub fn big_endian(mut self) -> Self {
        self.plan.big_endian = true;
        self
    }

    /// How chunks are compressed.
    pub fn codec(self, codec: Codec) -> Self {
        self.row("codec", format!("\"{}\"", codec.name()))
    }

    /// Bytes that a chunk decodes to, or at most. Without it a chunk's own header is asked, and checked.
    pub fn decoded(self, bytes: u64) -> Self {
        self.row("decoded", bytes.to_string())
    }

    /// Chunks that are larger come in pieces of so many bytes, in order, on one worker.
    pub fn piece(self, bytes: u64) -> Self {
        self.row("piece", bytes.to_string())
    }

    /// How many elements a step may write to its `out`; it says how many ([`Yield::Count`](crate::Yield::Count)).
    pub fn out_max(self, elements: u64) -> Self {
        self.row("out_max", elements.to_string())
    }

    /// Seed of `chunk.random()` in Lua.
    pub fn seed(self, seed: u32) -> Self {
        self.row("seed", seed.to_string())
    }

    fn row(mut self, name: &'static str, value: String) -> Self {
        self.plan.rows.push((name, value));
        self
    }

    /// Results go into this vector, in the order of the request: it has just as many elements as there are
    /// (or, where their sizes are not known before, at least). [`Summary::into_output`](crate::Summary::into_output)
    /// gives it back.
    pub fn output<T: Element>(mut self, v: Vec<T>) -> Self {
        self.plan.results = Results::Output(Output::new(v));
        self
    }

    /// Results go into an array that LSIO makes: [`Summary::into_array`](crate::Summary::into_array).
    pub fn collect<T: Element>(mut self) -> Self {
        self.plan.results = Results::Array(T::TYPE);
        self
    }

    /// Results come as batches. That is so by default for a job without a state, an output, or a script.
    pub fn stream(mut self) -> Self {
        self.plan.results = Results::Stream;
        self
    }

    /// In which order batches come.
    pub fn order(mut self, order: Order) -> Self {
        self.plan.order = order;
        self
    }

    /// What a step that fails does to the job.
    pub fn on_error(mut self, what: OnError) -> Self {
        self.plan.on_error = what;
        self
    }

    /// What stands in the place of steps that were left out.
    pub fn fill(self, value: f64) -> Self {
        self.row("fill", lua::number(value))
    }

    /// Which gaps between chunks are read through.
    pub fn merge_reads(self, what: Merge) -> Self {
        match what.word() {
            Some(word) => self.setting("merge", word),
            None => self,
        }
    }

    /// How long the job may take from now on: then it ends with [`ErrorKind::Timeout`](crate::ErrorKind::Timeout).
    ///
    /// A step that runs then is let end. Loops in Lua are broken off, if LSIO has a current LuaJIT (feature
    /// `vendored-luajit`); a closure asks [`Step::is_stopping`]. One that never returns keeps the job, and its
    /// context, for ever.
    pub fn deadline(self, time: Duration) -> Self {
        match deadline(time) {
            Some(word) => self.setting("deadline", word),
            None => self,
        }
    }

    /// What the job may use of its context's memory, in bytes.
    pub fn memory(self, bytes: u64) -> Self {
        self.setting("memory", bytes)
    }

    /// The most workers that it uses.
    pub fn workers(self, n: usize) -> Self {
        self.setting("workers", n)
    }

    /// Only the first so many steps.
    pub fn limit(self, steps: u64) -> Self {
        self.setting("limit", steps)
    }

    /// The `i`-th (from 0 on) of `n` parts.
    pub fn shard(self, i: u64, n: u64) -> Self {
        self.setting("shard", format!("{i}/{n}"))
    }

    /// It gives way to other jobs of the context.
    pub fn background(self) -> Self {
        self.setting("priority", "background")
    }

    /// A setting by its name, as `lsio-lua --help` lists them: `("queue-depth", 64)`.
    pub fn setting(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.plan.settings.push(format!("{name}={value}"));
        self
    }

    /// Submits the job, and returns at once. Refused here are settings and parameters; what is wrong with
    /// the source or a script is the job's error.
    pub fn submit(self) -> Result<Job<S>> {
        submit::submit(self)
    }
}

impl<S> fmt::Debug for JobBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobBuilder").field("source", &self.plan.source).finish_non_exhaustive()
    }
}
