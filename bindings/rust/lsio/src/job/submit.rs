//! From a description to a job of C's.

use super::builder::{JobBuilder, OnError, Order, Plan, Results};
use super::handle::Handle;
use super::running::Job;
use crate::calls;
use crate::context::CStrings;
use crate::element::ElementType;
use crate::error::{Error, Result};
use crate::hooks::Hooks;
use crate::lua::{self, Table};
use crate::output::Output;
use crate::queue::Queue;
use crate::script::Script;
use crate::source::{Kind, Request};
use crate::value::{Held, Value};
use lsio_sys as sys;
use std::ptr;
use std::sync::Arc;

/// Options of a job with nothing in them.
pub(crate) fn no_options() -> sys::lsio_job_options {
    // SAFETY: zero is the default for every field, and NULL for every pointer.
    let mut options: sys::lsio_job_options = unsafe { std::mem::zeroed() };
    options.struct_size = std::mem::size_of::<sys::lsio_job_options>();
    options
}

/// What the job is for C, without closures and output.
struct Parts {
    text: Option<String>,
    script: Option<Script>,
    request: Option<Request>,
    params: Option<Held>,
    args: CStrings,
    settings: CStrings,
    /// Type of the results of a stream, if it is known.
    element: Option<ElementType>,
    has_value: bool,
}

/// Whether more is asked for than bytes as they are stored, or bytes for a closure.
fn needs_text(plan: &Plan, has_step: bool) -> bool {
    let typed = match &plan.results {
        Results::Output(o) => o.element() != ElementType::U8,
        Results::Array(t) => *t != ElementType::U8,
        _ => false,
    };
    matches!(plan.source.0, Kind::Files(_))
        || plan.lua.is_some()
        || !plan.rows.is_empty()
        || !plan.params.is_empty()
        || plan.element != ElementType::U8
        || (has_step && typed)
}

fn text_of(plan: &Plan) -> String {
    let mut table = Table::default();
    if let Kind::Files(files) = &plan.source.0 {
        table.row("source", files.text());
    }
    let order = if plan.big_endian && plan.element.size() > 1 { "be" } else { "" };
    table.row("type", format!("\"{}{order}\"", plan.element.name()));
    for (name, value) in &plan.rows {
        table.row(name, value.as_str());
    }
    if !plan.params.is_empty() {
        let rows: Vec<_> = plan
            .params
            .iter()
            .map(|(k, v)| format!("[{}] = {}", lua::quoted(k.as_bytes()), lua::default_of(v)))
            .collect();
        table.row("params", format!("{{ {} }}", rows.join(", ")));
    }
    if plan.on_error == OnError::Skip {
        table.row("on_error", "\"skip\"");
    }
    let sink = match &plan.results {
        Results::Output(o) => Some(o.element()),
        Results::Array(t) => Some(*t),
        _ => None,
    };
    if let Some(t) = sink {
        table.row("sink", format!("lsio.memory {{ type = \"{}\" }}", t.name()));
    }
    if plan.lua.is_some() {
        table.row("transform", "transform");
    }
    table.text(plan.lua.as_deref())
}

const STATE_ROWS: [&str; 2] = ["state", "reduce"];

/// What can't be together.
fn check(plan: &Plan, has_step: bool) -> Result<()> {
    let whole = plan.script.is_some() || matches!(plan.source.0, Kind::Script(_));
    if plan.script.is_some() && !matches!(plan.source.0, Kind::Ranges(_)) {
        return Err(Error::usage("a script names its files itself; only ranges can be given to it"));
    }
    if whole && (plan.lua.is_some() || !plan.rows.is_empty() || plan.element != ElementType::U8) {
        return Err(Error::usage("a whole script has its own type, codec, state and transform"));
    }
    if has_step && plan.lua.is_some() {
        return Err(Error::usage("a job has one transform: a closure, or one in Lua"));
    }
    if has_step && !whole && (!plan.params.is_empty() || plan.rows.iter().any(|r| STATE_ROWS.contains(&r.0)))
    {
        return Err(Error::usage(
            "`param`, `lua_state` and `reduce` are for Lua: a closure has what it captures",
        ));
    }
    let script = plan.script.as_ref().or(match &plan.source.0 {
        Kind::Script(s) => Some(s),
        _ => None,
    });
    match script.is_some_and(|s| !s.is_in(&plan.context)) {
        true => Err(Error::usage("the script was loaded in another context")),
        false => Ok(()),
    }
}

fn parts(plan: &mut Plan, has_step: bool) -> Result<Parts> {
    check(plan, has_step)?;
    let script = plan.script.take().or(match &plan.source.0 {
        Kind::Script(s) => Some(s.clone()),
        _ => None,
    });
    let whole = script.is_some();
    let text = (!whole && needs_text(plan, has_step)).then(|| text_of(plan));
    let request = match &plan.source.0 {
        Kind::Ranges(ranges) => Some(ranges.request()?),
        _ => None,
    };
    if plan.on_error == OnError::Skip && text.is_none() {
        plan.settings.push("on-error=skip".into());
    }
    let params = std::mem::take(&mut plan.params);
    let params: Vec<_> = params.into_iter().map(|(k, v)| (Value::from(k), v)).collect();
    Ok(Parts {
        text,
        script,
        request,
        params: (!params.is_empty()).then(|| Held::new(&Value::Map(params))).transpose()?,
        args: CStrings::new(plan.args.iter().map(String::as_str))?,
        settings: CStrings::new(plan.settings.iter().map(String::as_str))?,
        element: (!whole).then_some(plan.element),
        has_value: whole || plan.rows.iter().any(|r| r.0 == "state"),
    })
}

pub(super) fn submit<S: Send + 'static>(builder: JobBuilder<S>) -> Result<Job<S>> {
    let JobBuilder { mut plan, step, init, merge, finish, keep } = builder;
    let has_state = merge.is_some();
    if let Some(problem) = plan.problem {
        return Err(problem);
    }
    if (has_state || finish.is_some() || keep.is_some()) && step.is_none() {
        return Err(Error::usage(
            "`state`, `finish` and `undo_failed` are for a closure: give a `transform`",
        ));
    }
    let parts = parts(&mut plan, step.is_some())?;
    let stream = match plan.results {
        Results::Stream => true,
        Results::Default => !has_state && !parts.has_value,
        _ => false,
    };
    let transform = step.map(|step| {
        let mut hooks = Hooks::new(step, init);
        (hooks.merge, hooks.finish, hooks.keep) = (merge, finish, keep);
        hooks
    });
    let output = match plan.results {
        Results::Output(o) => Some(Arc::new(o)),
        _ => None,
    };
    let mut options = no_options();
    options.flags = sys::LSIO_JOB_NO_STATE | plan.context.job_flags();
    if stream {
        options.flags |= sys::LSIO_JOB_STREAM;
    }
    if parts.has_value {
        options.flags |= sys::LSIO_JOB_STATE_VALUE;
    }
    if plan.order == Order::Request && stream {
        options.order = sys::LSIO_ORDER_REQUEST;
    }
    let queue = Queue::new(&plan.context)?;
    options.queue = queue.raw();
    let handle = hand_over(&plan.context, options, &parts, transform, output.clone())?;
    Ok(Job::new(handle, queue, output, parts.element, parts.has_value))
}

/// The call itself. From it on closures and output are C's, which gives them back whatever it returns.
fn hand_over<S: Send + 'static>(
    context: &crate::Context,
    mut options: sys::lsio_job_options,
    parts: &Parts,
    transform: Option<Hooks<S>>,
    output: Option<Arc<Output>>,
) -> Result<Handle> {
    if let Some(text) = &parts.text {
        options.script = text.as_ptr().cast();
        options.script_length = text.len();
        options.script_name = c"transform".as_ptr();
    }
    options.loaded = parts.script.as_ref().map_or(ptr::null(), Script::raw);
    options.request = parts.request.as_ref().map_or(ptr::null(), Request::raw);
    options.params = parts.params.as_ref().map_or(ptr::null(), Held::raw);
    (options.args, options.n_args) = (parts.args.pointers(), parts.args.len());
    (options.settings, options.n_settings) = (parts.settings.pointers(), parts.settings.len());
    if let Some(output) = output {
        options.output = output.pointer();
        options.output_length = output.bytes();
        options.output_release = Some(Output::release);
        options.output_user = Arc::into_raw(output).cast_mut().cast();
    }
    let transform = transform.map(Hooks::into_c);
    options.transform = transform.as_ref().map_or(ptr::null(), ptr::from_ref);
    let (mut raw, mut error) = (ptr::null_mut(), ptr::null_mut());
    let _guard = calls::NoWaiting::new();
    // SAFETY: all that the options point to lives until the call returns, or is handed over with a release.
    unsafe {
        match sys::lsio_submit(context.raw(), &options, &mut raw, &mut error) {
            0 => Ok(Handle::from_c(raw, context.clone())),
            code => Err(Error::take(error, code)),
        }
    }
}
