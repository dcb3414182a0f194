//! What of a job is said in Lua.

use crate::value::Value;

/// Text as Lua writes it, whatever bytes it has.
pub(crate) fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for &b in text {
        if (32..127).contains(&b) && b != b'"' && b != b'\\' {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("\\{b:03}"));
        }
    }
    out.push('"');
    out
}

pub(crate) fn number(v: f64) -> String {
    match v {
        v if v.is_nan() => "0/0".into(),
        v if v == f64::INFINITY => "math.huge".into(),
        v if v == f64::NEG_INFINITY => "-math.huge".into(),
        v => format!("{v:?}"),
    }
}

/// What a parameter is declared with: something of its kind.
pub(crate) fn default_of(v: &Value) -> String {
    match v {
        Value::Nil => "nil".into(),
        Value::Bool(_) => "false".into(),
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => "0".into(),
        Value::Bytes(_) => "\"\"".into(),
        Value::List(_) | Value::Map(_) => "{ {} }".into(),
        Value::Array(a) => format!("lsio.k.array(\"{}\", 1)", a.element_type().name()),
    }
}

/// The rows of a job's table.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, String)>);

impl Table {
    pub(crate) fn row(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// On the script's first line begins the transform's: its lines keep their numbers.
    pub(crate) fn text(&self, transform: Option<&str>) -> String {
        let mut text = String::from("local lsio = require \"lsio\"");
        if let Some(t) = transform {
            let head = if t.trim_start().starts_with("function") { "return " } else { "" };
            text.push_str(&format!("; local transform = (function() {head}{t}\nend)()"));
        }
        text.push_str("\nreturn lsio.job {\n");
        for (name, value) in &self.0 {
            text.push_str(&format!("  {name} = {value},\n"));
        }
        text.push_str("}\n");
        text
    }
}
