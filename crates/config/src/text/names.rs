//! Names of things, and the parts of HTTP that are names.

use std::str::FromStr;

use crate::text::{Refusal, written_as_text};

/// Longest name of a model or version, in characters.
const NAME_MAX: usize = 64;

/// Name of a model or version: it goes into labels, paths and file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl FromStr for Name {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let only_dots = text.chars().all(|c| c == '.');
        if only_dots || text.len() > NAME_MAX || !text.chars().all(allowed) {
            let message = format!(
                "expected a name of 1 to {NAME_MAX} letters, digits, `_`, `-` and `.`, not only dots"
            );
            return Err(Refusal::new(message));
        }
        Ok(Self(text.to_owned()))
    }
}

written_as_text!(Name, "name", Some(r"^(?!\.+$)[A-Za-z0-9_.-]{1,64}$"));

/// Name of an alert rule, as Prometheus takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleName(pub(crate) String);

impl FromStr for RuleName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts_well
            || text.len() > NAME_MAX
            || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            let message = format!(
                "expected an alert's name: a letter, then letters, digits and `_`, at most {NAME_MAX}"
            );
            return Err(Refusal::new(message).hint("by custom in CamelCase: `FeaturePSIHigh`"));
        }
        Ok(Self(text.to_owned()))
    }
}

written_as_text!(RuleName, "rule", Some(r"^[A-Za-z][A-Za-z0-9_]{0,63}$"));

/// Name of an HTTP header; case does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderText(pub(crate) http::HeaderName);

impl FromStr for HeaderText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let name = http::HeaderName::try_from(text)
            .map_err(|_| Refusal::new("expected the name of an HTTP header, such as `x-tenant-id`"))?;
        Ok(Self(name))
    }
}

written_as_text!(HeaderText, "header", Some(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"));

impl serde::Serialize for HeaderText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// An HTTP method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodText(pub(crate) http::Method);

impl FromStr for MethodText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || Refusal::new("expected an HTTP method in capitals, such as `POST`");
        let method = http::Method::from_bytes(text.as_bytes()).map_err(|_| refused())?;
        if text.chars().any(|c| c.is_ascii_lowercase()) {
            return Err(refused());
        }
        if method == http::Method::CONNECT || method == http::Method::TRACE {
            return Err(Refusal::new("`CONNECT` and `TRACE` are never copied"));
        }
        Ok(Self(method))
    }
}

written_as_text!(MethodText, "method", Some(r"^[A-Z0-9!#$%&'*+.^_`|~-]+$"));

/// A host without port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostText(pub(crate) String);

impl FromStr for HostText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused =
            || Refusal::new("expected a host without scheme, port or path, such as `fraud.example.com`");
        let is_v6 = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = match is_v6 {
            Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
                !text.is_empty() && text.len() <= 253 && text.chars().all(allowed)
            }
        };
        if is_host { Ok(Self(text.to_ascii_lowercase())) } else { Err(refused()) }
    }
}

written_as_text!(HostText, "host", None);

/// A path prefix, without the slash at its end; `/` is the empty prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrefixText(pub(crate) String);

impl FromStr for PrefixText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if !text.starts_with('/') {
            return Err(Refusal::new("expected a path prefix that starts with `/`, such as `/fraud`"));
        }
        let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\'));
        if !is_plain
            || text.contains("//")
            || text.split('/').any(|segment| segment == "." || segment == "..")
        {
            let message = "expected a plain path prefix: no spaces, `?`, `#`, `\\`, `//`, `.` or `..`";
            return Err(Refusal::new(message).hint("write other characters percent-encoded"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

written_as_text!(PrefixText, "prefix", Some(r"^/[^?#\\\s]*$"));

/// A path into a JSON body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathText(pub(crate) record::Path);

impl FromStr for PathText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        text.parse().map(Self).map_err(|error: record::PathError| {
            let message = format!("expected a JSON path; character {}: {}", error.position, error.problem);
            Refusal::new(message).hint("write `$.a.b`, `a.b`, `$['odd name']`, `$.items[0]` or `$.rows[*].x`")
        })
    }
}

written_as_text!(PathText, "path", None);

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_ok(), "refused `{text}`");
        }
    }

    fn refuses<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "accepted `{text}`");
        }
    }

    #[test]
    fn names() {
        accepts::<Name>(&["fraud", "v2", "1.0", "a_b-c.d", &"x".repeat(64)]);
        refuses::<Name>(&["", ".", "..", "a/b", "../x", "a b", "é", "a\n", &"x".repeat(65)]);
        accepts::<RuleName>(&["FeaturePSIHigh", "a1_b"]);
        refuses::<RuleName>(&["", "1a", "a-b", "_a", "a b"]);
    }

    #[test]
    fn parts_of_http() {
        accepts::<HeaderText>(&["x-tenant-id", "X-Tenant"]);
        refuses::<HeaderText>(&["", "x tenant", "x:", "é"]);
        accepts::<MethodText>(&["POST", "PROPFIND"]);
        refuses::<MethodText>(&["", "post", "TRACE", "CONNECT", "P OST"]);
        accepts::<HostText>(&["a.example.com", "LOCALHOST", "10.0.0.1", "[::1]"]);
        refuses::<HostText>(&["", "a:80", "http://a", "a/b", "::1", "[x]"]);
        accepts::<PrefixText>(&["/", "/fraud", "/a/b/", "/v2/models/fraud%20x"]);
        refuses::<PrefixText>(&["", "fraud", "/a?b", "/a b", "/a/../b", "//a", "/a/./b", "/a\\b"]);
        assert_eq!("/a/b/".parse::<PrefixText>().unwrap().0, "/a/b");
        assert_eq!("/".parse::<PrefixText>().unwrap().0, "");
    }
}
