//! `${VAR}` and `${VAR:-default}` in values.
//!
//! Expanded after parsing: a variable's content can never add keys or lines. Keys and comments are left alone.
//! `$$` is a literal `$`; a `$` before anything but `{` or `$` stands for itself.

use crate::yaml::{Cursor, Node, Sink, Yaml};

/// Most bytes that a value may have after expansion.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Expands every value of the tree; reports what cannot be expanded.
pub(crate) fn expand(root: &mut Node, env: &dyn Fn(&str) -> Option<String>, sink: &mut Sink<'_>) {
    // Messages need the tree as it was while it is changed.
    let before = root.clone();
    walk(root, &Cursor::root(&before), &before, env, sink);
}

/// `at` stands on `before`, which is `node` as it was.
fn walk<'n>(
    node: &mut Node,
    at: &Cursor<'n>,
    before: &'n Node,
    env: &dyn Fn(&str) -> Option<String>,
    sink: &mut Sink<'_>,
) {
    match (&mut node.value, &before.value) {
        (Yaml::List(items), Yaml::List(before)) => {
            for (index, (item, before)) in items.iter_mut().zip(before).enumerate() {
                walk(item, &at.item(index), before, env, sink);
            }
        }
        (Yaml::Map(entries), Yaml::Map(before)) => {
            for (entry, before) in entries.iter_mut().zip(before) {
                walk(&mut entry.value, &at.entry(before), &before.value, env, sink);
            }
        }
        (Yaml::Scalar(scalar), _) if scalar.text.contains('$') => match expand_text(&scalar.text, env) {
            Ok(text) => scalar.unexpanded = Some(std::mem::replace(&mut scalar.text, text)),
            Err((message, hint)) => sink.error(at, message).maybe_hint(hint),
        },
        _ => {}
    }
}

type Refusal = (String, Option<String>);

fn expand_text(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Refusal> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                return Err(("`${` has no closing `}`".to_owned(), literal_hint()));
            };
            out.push_str(&variable(inside, env)?);
            rest = after;
        } else {
            out.push('$');
        }
        if out.len() > VALUE_BYTES_MAX {
            return Err((format!("longer than {VALUE_BYTES_MAX} bytes after expansion"), None));
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Refusal> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let message = "`${…}` needs a variable's name: letters, digits and `_`, not starting with a digit";
        return Err((message.to_owned(), literal_hint()));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            let hint = format!("set it, or give a default: `${{{name}:-default}}`");
            Err((format!("environment variable `{name}` is not set"), Some(hint)))
        }
    }
}

fn literal_hint() -> Option<String> {
    Some("write `$$` for a literal `$`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("model".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_defaults_and_dollars() {
        let check = |text: &str, expected: &str| assert_eq!(expand_text(text, &env).unwrap(), expected);
        check("http://${HOST}:80", "http://model:80");
        check("${HOST}${HOST}", "modelmodel");
        check("${NONE:-a b:c}", "a b:c");
        check("${HOST:-other}", "model");
        check("${EMPTY:-other}", "other");
        check("${EMPTY}", "");
        check("${NONE:-}", "");
        check("a$$b $c $", "a$b $c $");
        check("$${HOST}", "${HOST}");
    }

    #[test]
    fn what_cannot_be_expanded_is_refused() {
        for text in ["${NONE}", "${", "${HOST", "${}", "${1A}", "${A B}", "${:-x}"] {
            assert!(expand_text(text, &env).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expansion_is_bounded() {
        let huge = |_: &str| Some("x".repeat(VALUE_BYTES_MAX));
        assert!(expand_text("${A}${A}", &huge).is_err());
    }
}
