//! Addresses, URLs, files and secrets.

use std::net::SocketAddr;
use std::str::FromStr;

use crate::text::{Refusal, written_as_text};

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl FromStr for Address {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        if let Ok(address) = numeric.as_deref().unwrap_or(text).parse() {
            return Ok(Self(address));
        }
        let refused = Refusal::new("expected an address and port such as `127.0.0.1:8080`");
        let port = text.rsplit(':').next().unwrap_or(text);
        let is_number = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
        if is_number && port.parse::<u16>().is_err() {
            return Err(refused.hint("a port is a number from 0 to 65535"));
        }
        if is_number && (text.starts_with(':') || text == port) {
            return Err(refused.hint(
                "write `0.0.0.0:PORT` to listen on every interface, `127.0.0.1:PORT` for this machine",
            ));
        }
        Err(refused.hint("names other than `localhost` are not looked up: write the IP address"))
    }
}

written_as_text!(Address, "address", None);

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Where a model server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) http::Uri);

impl FromStr for Url {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        web_url(text).map(Self)
    }
}

written_as_text!(Url, "url", Some("^https?://[^@?#\\s]+$"));

/// A link for people: dashboards, runbooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link(pub(crate) String);

impl FromStr for Link {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        // Queries and fragments are fine in a link; the rest is checked as for a server.
        let end = text.find(['?', '#']).unwrap_or(text.len());
        web_url(&text[..end])?;
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '"' | '<' | '>')) {
            return Err(Refusal::new("expected a URL without spaces, quotes or angle brackets"));
        }
        Ok(Self(text.to_owned()))
    }
}

written_as_text!(Link, "link", Some("^https?://[^@\\s]+$"));

impl serde::Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// `http` or `https`, a host, perhaps a port and a path; no user, query or fragment.
fn web_url(text: &str) -> Result<http::Uri, Refusal> {
    let refused = |what: &str| {
        Refusal::new(what).hint("write `http://HOST:PORT` or `https://HOST`, with a base path if needed")
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(refused("expected a URL that starts with `http://` or `https://`"));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(refused("expected a URL of scheme `http` or `https`"));
    }
    if rest.contains('@') {
        let what = "expected a URL without user and password";
        return Err(Refusal::new(what).hint("clients send their own credentials, which are forwarded"));
    }
    if rest.contains(['?', '#']) {
        return Err(refused("expected a URL without query or fragment"));
    }
    let uri: http::Uri = text.parse().map_err(|_| refused("expected a URL"))?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty() && host != "[]");
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if !has_host {
        return Err(refused("expected a URL with a host"));
    }
    let has_port =
        authority.rsplit_once(':').is_some_and(|(host, _)| !host.starts_with('[') || host.ends_with(']'));
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err(refused("expected a port from 1 to 65535 in the URL"));
    }
    Ok(uri)
}

/// Name of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(pub(crate) String);

impl FromStr for FileName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.contains('\0') {
            return Err(Refusal::new("expected a path of the file system"));
        }
        Ok(Self(text.to_owned()))
    }
}

written_as_text!(FileName, "file", None);

impl serde::Serialize for FileName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A secret as it was written; its content is checked where it is used, together with those that come from files.
#[derive(Clone)]
pub(crate) struct SecretText(pub(crate) String);

impl FromStr for SecretText {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Err(Refusal::new("the secret is empty"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(***)")
    }
}

written_as_text!(SecretText, "secret", None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str| text.parse::<Address>().map(|address| address.0.to_string()).ok();
        assert_eq!(check("0.0.0.0:8080").as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(check("[::]:80").as_deref(), Some("[::]:80"));
        assert_eq!(check("localhost:0").as_deref(), Some("127.0.0.1:0"));
        for text in [
            "",
            "8080",
            ":8080",
            "127.0.0.1",
            "127.0.0.1:70000",
            "example.com:80",
            "http://127.0.0.1:80",
            "::1:80x",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn upstream_urls() {
        for text in [
            "http://model:8080",
            "https://a.example.com",
            "http://[::1]:9000/v2",
            "http://[::1]",
            "http://h/base/",
        ] {
            assert!(text.parse::<Url>().is_ok(), "{text}");
        }
        let bad = [
            "",
            "model:8080",
            "ftp://x",
            "http://",
            "http://u:p@h",
            "http://h:0",
            "http://h:70000",
            "http://h:",
            "http://h?x=1",
            "http://h#f",
            "http://a b",
            "HTTP//x",
            "http:///x",
            "unix:///tmp/x",
        ];
        for text in bad {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        assert!("https://grafana.example.com/d/x?orgId=1#p".parse::<Link>().is_ok());
        assert!("javascript://x".parse::<Link>().is_err());
    }
}
