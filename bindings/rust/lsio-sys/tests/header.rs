//! The declarations against `lsio.h`, by a C compiler: sizes, offsets, constants, and the types of functions.

use lsio_sys::*;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: &[&str] = &[
    include_str!("../src/lib.rs"),
    include_str!("../src/context.rs"),
    include_str!("../src/error.rs"),
    include_str!("../src/job.rs"),
    include_str!("../src/library.rs"),
    include_str!("../src/queue.rs"),
    include_str!("../src/request.rs"),
    include_str!("../src/result.rs"),
    include_str!("../src/transform.rs"),
    include_str!("../src/value.rs"),
];

fn headers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../core")
}

fn compile(text: &str, folder: &Path) -> PathBuf {
    let (source, program) = (folder.join("x.c"), folder.join("x"));
    std::fs::write(&source, text).unwrap();
    let host = env!("LSIO_SYS_TARGET");
    let cc = cc::Build::new()
        .opt_level(0)
        .target(host)
        .host(host)
        .out_dir(folder)
        .cargo_metadata(false)
        .get_compiler();
    let run = Command::new(cc.path())
        .args(["-std=c11", "-Wall", "-Werror", "-I"])
        .arg(headers())
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    program
}

macro_rules! layouts {
    ($($kind:literal $name:ident { $($field:ident)* })*) => {
        [$(
            ($kind, stringify!($name), size_of::<$name>(),
             vec![$((stringify!($field), offset_of!($name, $field))),*]),
        )*]
    };
}

#[test]
#[rustfmt::skip]
fn structs_lie_as_in_c() {
    let rows = layouts! {
        "struct " lsio_setting { name argument env help }
        "struct " lsio_value_source { struct_size data type_ ndim shape release user }
        "struct " lsio_value_view { struct_size kind ndim integer natural number n data length items keys type_ shape }
        "struct " lsio_context_options { struct_size flags trace_events settings n_settings log log_user }
        "struct " lsio_context_stats { struct_size jobs jobs_running threads attended waiting memory_limit memory_lent
            memory_kept memory_reserved jobs_queued bytes_read memory_held }
        "struct " lsio_thread_stats { struct_size attended waiting bytes_read }
        "struct " lsio_request_options { struct_size flags reserved objects n_objects n object offset length tag
            release user group }
        "" lsio_step { size flags data bytes n out out_n scratch scratch_bytes index pos object object_size offset
            length tag name name_length type_ out_type item out_item worker n_chunks user message message_size stop }
        "struct " lsio_transform { struct_size user open_worker step finish close release state_size state_align
            merge save undo }
        "struct " lsio_job_options { struct_size script script_length script_name args n_args settings n_settings
            flags output output_length planning planning_user loaded before_s queue cookie params transform request
            output_release output_user order reserved }
        "struct " lsio_progress { struct_size steps_requested steps steps_failed bytes_requested bytes_done elapsed_s
            workers workers_running began deadline_passed listed looked_at queued held_bytes stalled reserved }
        "struct " lsio_queue_options { struct_size flags reserved notify notify_user notify_destroy }
        "struct " lsio_result { step tag begin length is_record flags }
        "struct " lsio_event { kind n job cookie block data results error }
        "struct " lsio_array { struct_size data bytes type_ ndim shape owner }
    };
    let mut text = String::from("#include <lsio.h>\n#include <stdio.h>\nint main(void) {\n");
    let mut want = String::new();
    for (kind, name, size, fields) in &rows {
        writeln!(text, "  printf(\"{name} %zu\\n\", sizeof({kind}{name}));").unwrap();
        writeln!(want, "{name} {size}").unwrap();
        for (field, offset) in fields {
            let c = field.trim_end_matches('_');
            writeln!(text, "  printf(\"{name}.{field} %zu\\n\", offsetof({kind}{name}, {c}));").unwrap();
            writeln!(want, "{name}.{field} {offset}").unwrap();
        }
    }
    text.push_str("  return 0;\n}\n");
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(compile(&text, folder.path())).output().unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap(), want);
    let declared: BTreeSet<_> = SOURCES.iter().flat_map(|s| s.lines())
        .filter_map(|l| l.strip_prefix("pub struct ")?.split_once(' ')).map(|(name, _)| name).collect();
    let compared: BTreeSet<_> = rows.iter().map(|r| r.1).collect();
    assert_eq!(declared, compared);
}

#[test]
fn constants_are_those_of_c() {
    let mut text = String::from("#include <lsio.h>\n#include <assert.h>\n");
    let mut n = 0;
    for line in SOURCES.iter().flat_map(|s| s.lines()) {
        let Some((name, rest)) = line.strip_prefix("pub const ").and_then(|l| l.split_once(": ")) else {
            continue;
        };
        let value = rest.split_once("= ").unwrap().1.trim_end_matches(';');
        writeln!(text, "static_assert({name} == {value}, \"{name} is {value} in Rust\");").unwrap();
        n += 1;
    }
    assert!(n > 70, "{n}");
    text.push_str("int main(void) { return 0; }\n");
    compile(&text, tempfile::tempdir().unwrap().path());
}

/// What C calls a type of Rust's, for a declaration of `name`.
fn c_type(rust: &str, name: &str) -> String {
    let rust = rust.trim();
    if let Some(to) = rust.strip_prefix("*const ") {
        return match to.starts_with('*') {
            true => c_type(to, &format!("*const_{name}")).replace("*const_", "const *"),
            false => format!("const {}", c_type(to, &format!("*{name}"))),
        };
    }
    if let Some(to) = rust.strip_prefix("*mut ") {
        return c_type(to, &format!("*{name}"));
    }
    let c = match rust {
        "c_char" => "char",
        "c_int" => "int",
        "c_void" | "void" => "void",
        "usize" => "size_t",
        "f64" => "double",
        "u64" => "uint64_t",
        "i64" => "int64_t",
        "u32" => "uint32_t",
        "lsio_error" | "lsio_value" | "lsio_context" | "lsio_job" | "lsio_queue" | "lsio_block"
        | "lsio_script" | "lsio_request" => rust,
        other => return format!("struct {other} {name}"),
    };
    format!("{c} {name}")
}

/// Every `pub fn` of the sources as (name, arguments, what it returns).
fn functions() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for source in SOURCES {
        for part in source.split("pub fn ").skip(1) {
            let (name, rest) = part.split_once('(').unwrap();
            let (arguments, rest) = rest.split_once(')').unwrap();
            let result = rest.split_once(';').unwrap().0.trim().trim_start_matches("-> ");
            let arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push((name.into(), arguments, result.into()));
        }
    }
    found
}

#[test]
fn functions_have_the_types_of_c() {
    let mut text = String::from("#include <lsio.h>\n");
    for (name, arguments, result) in functions() {
        let arguments: Vec<_> = arguments
            .split(", ")
            .filter_map(|a| a.trim_end_matches(',').split_once(": "))
            .map(|(name, of)| c_type(of, name))
            .collect();
        let arguments = if arguments.is_empty() { "void".into() } else { arguments.join(", ") };
        let result = if result.is_empty() { "void" } else { &result };
        writeln!(text, "{};", c_type(result, &format!("{name}({arguments})"))).unwrap();
    }
    text.push_str("int main(void) { return 0; }\n");
    compile(&text, tempfile::tempdir().unwrap().path());
}

#[test]
fn every_function_is_declared() {
    let listed = std::fs::read_to_string(headers().join("lsio.symbols")).unwrap();
    let listed: BTreeSet<_> = listed.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
    let declared: BTreeSet<_> = functions().into_iter().map(|f| f.0).collect();
    assert_eq!(declared, listed);
}

#[test]
fn the_library_is_there() {
    let version = unsafe { std::ffi::CStr::from_ptr(lsio_version()) };
    let ours = format!("{LSIO_VERSION_MAJOR}.{LSIO_VERSION_MINOR}.{LSIO_VERSION_PATCH}");
    assert_eq!(version.to_str().unwrap(), ours);
}
