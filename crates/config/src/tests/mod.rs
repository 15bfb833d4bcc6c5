//! Whole files in, whole messages out.

mod bad;
mod docs;
mod good;
mod robust;

use std::path::Path;

use crate::{Loaded, Problems};

/// The smallest useful file, as the README has it.
const SMALLEST: &str = "
models:
  fraud:
    versions: { v2: http://model-v2:8080, v1: http://model-v1:8080 }
    active: v2
    stable: v1
    shadow: { version: v1, percent: 5 }
";

fn env(name: &str) -> Option<String> {
    match name {
        "PCT" => Some("7.5".to_owned()),
        "WORD" => Some("Hidden-Word".to_owned()),
        "TOKEN" => Some("Hidden-Token-0123456789".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    crate::parse(text, "driftline.yaml", Path::new(""), &env)
}

/// The settings of a text that is in order, whatever the warnings.
fn good(text: &str) -> Loaded {
    parse(text).unwrap_or_else(|problems| panic!("{problems}\n\n{text}"))
}

/// Everything that is said about a text.
fn said(text: &str) -> String {
    match parse(text) {
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"),
        Err(problems) => problems.to_string(),
    }
}

/// A model `m` with versions `v1` (active) and `v2` (stable), and more keys under it.
fn with(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "models:\n  m:\n    versions: {{ v1: http://a:1, v2: http://b:2 }}\n    active: v1\n    stable: v2\n{keys}"
    )
}
