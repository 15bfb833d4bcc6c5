//! The checks behind the schema's `x-kind`.

use crate::text::{
    Address, FileName, HeaderText, HostText, Link, MethodText, Name, PathText, PrefixText, Refusal, RuleName,
    SecretText, Size, Span, Url,
};

/// Checks a text of a kind.
///
/// # Errors
///
/// The type's own refusal; a kind that is not known accepts nothing, which a test over the schema would show.
pub(crate) fn check(kind: &str, text: &str) -> Result<(), Refusal> {
    fn parses<T: std::str::FromStr<Err = Refusal>>(text: &str) -> Result<(), Refusal> {
        text.parse::<T>().map(|_| ())
    }
    match kind {
        "address" => parses::<Address>(text),
        "duration" => parses::<Span>(text),
        "file" => parses::<FileName>(text),
        "header" => parses::<HeaderText>(text),
        "host" => parses::<HostText>(text),
        "link" => parses::<Link>(text),
        "method" => parses::<MethodText>(text),
        "name" => parses::<Name>(text),
        "path" => parses::<PathText>(text),
        "prefix" => parses::<PrefixText>(text),
        "rule" => parses::<RuleName>(text),
        "secret" => parses::<SecretText>(text),
        "size" => parses::<Size>(text),
        "url" => parses::<Url>(text),
        _ => Err(Refusal::new(format!("unknown kind `{kind}` in the schema"))),
    }
}

/// What a kind is called in messages and in the reference.
pub(crate) fn noun(kind: &str) -> &'static str {
    match kind {
        "address" => "address",
        "duration" => "duration",
        "file" => "file",
        "header" => "header name",
        "host" => "host",
        "link" | "url" => "URL",
        "method" => "HTTP method",
        "name" => "name",
        "path" => "JSON path",
        "prefix" => "path prefix",
        "rule" => "alert name",
        "secret" => "secret",
        "size" => "size",
        _ => "text",
    }
}
