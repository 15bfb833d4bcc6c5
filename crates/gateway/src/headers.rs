//! What happens to header fields on the way: hop-by-hop ones end here, identity of the hop is added, marks are ours.
//!
//! One pass over the fields finds everything that matters; afterwards only what was found is changed. RFC 9110,
//! sections 7.2, 7.6.1 and 7.6.3.

use http::header::{
    CONNECTION, CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use std::sync::Arc;

use bytes::Bytes;

use crate::grpc;
use crate::refusal::Refusal;
use crate::spec::Limits;

/// The client's address, one value a hop.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host the client asked for.
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The request's id, the same for a request and its copies.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `true` on a copy, or on a request that a gateway before us wants copied.
pub(crate) const X_SHADOW: HeaderName = HeaderName::from_static("x-shadow");
/// How many of our kind made a copy of this request.
pub(crate) const X_HOP: HeaderName = HeaderName::from_static("x-driftline-hop");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Our name in `via`.
const VIA_US: HeaderValue = HeaderValue::from_static("1.1 driftline");
/// Gateways of our kind that a request may pass.
const MAX_HOPS: u32 = 8;
/// Longest id that is kept.
const MAX_ID_BYTES: usize = 128;

/// What one pass over a request's fields has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Bits of [`flag`].
    flags: u16,
    /// Marked `x-shadow: true` before it came here, and not a copy that one of us made.
    pub(crate) marked: bool,
    /// A copy made by a gateway of our kind.
    pub(crate) is_copy: bool,
    /// `x-driftline-hop` of the request.
    hop: u32,
    /// Whether it is a gRPC call by its content type.
    pub(crate) is_grpc: bool,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
}

mod flag {
    pub(super) const CONNECTION: u16 = 1;
    pub(super) const KEEP_ALIVE: u16 = 1 << 1;
    pub(super) const PROXY_CONNECTION: u16 = 1 << 2;
    pub(super) const TE: u16 = 1 << 3;
    pub(super) const TRAILER: u16 = 1 << 4;
    pub(super) const TRANSFER_ENCODING: u16 = 1 << 5;
    pub(super) const UPGRADE: u16 = 1 << 6;
    pub(super) const HTTP2_SETTINGS: u16 = 1 << 7;
    pub(super) const X_SHADOW: u16 = 1 << 8;
    pub(super) const X_HOP: u16 = 1 << 9;
    pub(super) const EXPECT: u16 = 1 << 10;
    pub(super) const PROXY_AUTHORIZATION: u16 = 1 << 11;
    pub(super) const X_FORWARDED_FOR: u16 = 1 << 12;
}

/// Reads the fields once.
///
/// # Errors
/// A bad, missing or second host; a nominated field that a client must not remove; an imitation of a field that
/// decides something; too many hops.
pub(crate) fn inspect(headers: &HeaderMap, version: Version) -> Result<Found, Refusal> {
    let mut found = Found::default();
    let (mut hosts, mut vias) = (0, 0);
    for (name, value) in headers {
        match *name {
            HOST => {
                hosts += 1;
                authority(value.as_bytes())?;
            }
            CONNECTION => {
                found.flags |= flag::CONNECTION;
                nominations(value)?;
            }
            TE => found.flags |= flag::TE,
            TRAILER => found.flags |= flag::TRAILER,
            TRANSFER_ENCODING => found.flags |= flag::TRANSFER_ENCODING,
            UPGRADE => found.flags |= flag::UPGRADE,
            CONTENT_TYPE => found.is_grpc = grpc::is_type(value.as_bytes()),
            PROXY_AUTHORIZATION => found.flags |= flag::PROXY_AUTHORIZATION,
            VIA => vias += hops_in_via(value),
            EXPECT => {
                found.flags |= flag::EXPECT;
                found.expects_continue = true;
            }
            _ => found.custom(name, value)?,
        }
    }
    if hosts > 1 {
        return Err(Refusal::Header("more than one host"));
    }
    if hosts == 0 && version == Version::HTTP_11 {
        return Err(Refusal::Header("the host is missing"));
    }
    if version == Version::HTTP_2 && found.flags & (flag::TRANSFER_ENCODING | flag::CONNECTION) != 0 {
        return Err(Refusal::Header("a connection-specific header in HTTP/2"));
    }
    if vias.max(found.hop) >= MAX_HOPS {
        return Err(Refusal::Loop);
    }
    found.is_copy = found.marked && found.flags & flag::X_HOP != 0;
    found.marked &= !found.is_copy;
    Ok(found)
}

/// Keeps HTTP/2 to the limits of a head that the guard keeps HTTP/1 to. RFC 9113, section 6.5.2, says what is counted.
///
/// # Errors
/// Too many fields, or too many bytes of them.
pub(crate) fn check_size(parts: &Parts, limits: &Limits) -> Result<(), Refusal> {
    let target = parts.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32);
    if parts.headers.len() > limits.head_fields || fields.sum::<usize>() + target > limits.head_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(())
}

impl Found {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether the client asks for another protocol.
    pub(crate) fn has_upgrade(&self) -> bool {
        self.has(flag::UPGRADE)
    }

    fn custom(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Refusal> {
        let text = name.as_str();
        if text.contains('_') && is_decisive(&text.replace('_', "-")) {
            return Err(Refusal::Header("a header name imitates one that decides something"));
        }
        self.flags |= match text {
            "keep-alive" => flag::KEEP_ALIVE,
            "proxy-connection" => flag::PROXY_CONNECTION,
            "http2-settings" => flag::HTTP2_SETTINGS,
            "x-forwarded-for" => flag::X_FORWARDED_FOR,
            "x-shadow" => {
                self.marked |= value.as_bytes().eq_ignore_ascii_case(b"true");
                flag::X_SHADOW
            }
            "x-driftline-hop" => {
                let hop = value.to_str().ok().and_then(|v| v.parse::<u32>().ok());
                self.hop = self.hop.max(hop.unwrap_or(MAX_HOPS));
                flag::X_HOP
            }
            _ => 0,
        };
        Ok(())
    }

    /// Takes off what ends at this hop. `te: trailers` stays: gRPC servers ask for it.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if self.flags == 0 {
            return;
        }
        if self.has(flag::CONNECTION) {
            remove_nominated(headers);
        }
        let ends_here = [
            (flag::KEEP_ALIVE, &KEEP_ALIVE),
            (flag::PROXY_CONNECTION, &PROXY_CONNECTION),
            (flag::TRAILER, &TRAILER),
            (flag::TRANSFER_ENCODING, &TRANSFER_ENCODING),
            (flag::UPGRADE, &UPGRADE),
            (flag::HTTP2_SETTINGS, &HTTP2_SETTINGS),
            (flag::X_SHADOW, &X_SHADOW),
            (flag::EXPECT, &EXPECT),
            (flag::PROXY_AUTHORIZATION, &PROXY_AUTHORIZATION),
        ];
        for (flag, name) in ends_here {
            if self.has(flag) {
                headers.remove(name);
            }
        }
        if self.has(flag::TE) {
            let trailers = headers.get_all(TE).iter().any(|v| v.as_bytes().eq_ignore_ascii_case(b"trailers"));
            headers.remove(TE);
            if trailers {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
        }
    }

    /// Adds who forwarded the request. `host` is what the client asked for.
    pub(crate) fn add_hop(
        &self,
        headers: &mut HeaderMap,
        peer: &HeaderValue,
        tls: bool,
        host: Option<&HeaderValue>,
    ) {
        headers.append(VIA, VIA_US);
        if self.has(flag::X_FORWARDED_FOR) {
            append_peer(headers, peer);
        } else {
            headers.insert(X_FORWARDED_FOR, peer.clone());
        }
        let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
        headers.entry(X_FORWARDED_PROTO).or_insert(proto);
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        }
    }

    /// What `x-driftline-hop` of a copy of this request is.
    pub(crate) fn next_hop(&self) -> HeaderValue {
        HeaderValue::from(self.hop + 1)
    }
}

/// Joins all values into one line, ours last: servers read the first line only, or the last.
fn append_peer(headers: &mut HeaderMap, peer: &HeaderValue) {
    let mut joined = Vec::with_capacity(64);
    for value in headers.get_all(X_FORWARDED_FOR) {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(peer.as_bytes());
    // Joined from valid values, so it is one; the peer alone is right as well.
    let joined = HeaderValue::from_bytes(&joined).unwrap_or_else(|_| peer.clone());
    headers.insert(X_FORWARDED_FOR, joined);
}

/// Keeps a sane id and replaces any other.
pub(crate) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    if let (Some(id), None) = (given.next(), given.next())
        && is_sane_id(id.as_bytes())
    {
        return id.clone();
    }
    let id = new_id();
    headers.insert(X_REQUEST_ID, id.clone());
    id
}

fn is_sane_id(id: &[u8]) -> bool {
    let sane = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(sane)
}

fn new_id() -> HeaderValue {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bits = fastrand::u128(..);
    let mut text = [0u8; 32];
    for (i, byte) in text.iter_mut().enumerate() {
        *byte = HEX[(bits >> (4 * i)) as usize & 15];
    }
    HeaderValue::from_bytes(&text).expect("invariant: hexadecimal digits are a valid value")
}

/// Fields that decide who somebody is, where a request goes, or where it ends.
fn is_decisive(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "proxy-authorization"
            | "cookie"
            | "host"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "transfer-encoding"
            | "x-api-key"
            | "x-request-id"
            | "x-shadow"
            | "x-driftline-hop"
            | "via"
    ) || name.starts_with("x-forwarded-")
}

fn nominated(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

fn nominations(value: &HeaderValue) -> Result<(), Refusal> {
    for token in nominated(value) {
        if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive") {
            continue;
        }
        let name = std::str::from_utf8(token).map(str::to_ascii_lowercase);
        if !name.is_ok_and(|name| !is_decisive(&name)) {
            return Err(Refusal::Header("`connection` names a header that a client must not remove"));
        }
    }
    Ok(())
}

/// Refuses a request whose `connection` nominates the tenant's header, or that names two tenants.
///
/// # Errors
/// The refusal.
pub(crate) fn check_tenant(headers: &HeaderMap, tenant: &HeaderName) -> Result<(), Refusal> {
    if headers.get_all(tenant).iter().nth(1).is_some() {
        return Err(Refusal::Header("more than one tenant"));
    }
    let nominates =
        |value| nominated(value).any(|token| token.eq_ignore_ascii_case(tenant.as_str().as_bytes()));
    if headers.get_all(CONNECTION).iter().any(nominates) {
        return Err(Refusal::Header("`connection` names a header that a client must not remove"));
    }
    let twin = |name: &HeaderName| {
        let name = name.as_str();
        name != tenant.as_str()
            && name.contains('_')
            && name.replace('_', "-") == tenant.as_str().replace('_', "-")
    };
    if headers.keys().any(twin) {
        return Err(Refusal::Header("a header name imitates the tenant's"));
    }
    Ok(())
}

fn remove_nominated(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(nominated)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect();
    for name in names {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Joins the cookies that HTTP/2 may split over fields: HTTP/1 has one field. RFC 9113, section 8.2.3.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Joined from valid values, so it is one.
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Takes off an answer what ends at this hop, and gives back its `keep-alive`.
pub(crate) fn strip_answer(headers: &mut HeaderMap) -> Option<HeaderValue> {
    // Most answers have at most `connection`: one look at every name costs less than looking each of these up.
    if !headers.keys().any(ends_here) {
        return None;
    }
    // First, because `connection` may name it.
    let keep_alive = headers.remove(&KEEP_ALIVE);
    if headers.contains_key(CONNECTION) {
        remove_nominated(headers);
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // Never both: whoever comes next must not find a length that is not the body's.
        headers.remove(http::header::CONTENT_LENGTH);
    }
    for name in [&PROXY_CONNECTION, &UPGRADE, &TE, &PROXY_AUTHENTICATE] {
        headers.remove(name);
    }
    keep_alive
}

/// Whether an answer's field ends at this hop, or says which do.
fn ends_here(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TRANSFER_ENCODING | UPGRADE | TE | PROXY_AUTHENTICATE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Takes credentials off a copy.
pub(crate) fn strip_credentials(headers: &mut HeaderMap) {
    for name in [http::header::AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, X_API_KEY] {
        headers.remove(name);
    }
}

fn hops_in_via(value: &HeaderValue) -> u32 {
    let ours = |hop: &&[u8]| hop.trim_ascii() == VIA_US.as_bytes();
    u32::try_from(value.as_bytes().split(|&b| b == b',').filter(ours).count()).unwrap_or(u32::MAX)
}

/// The headers that a log was asked for, in the order of its list; one that was sent several times is one value, as in
/// all of HTTP. Nothing is copied for an empty list.
pub fn for_log(wanted: &[(HeaderName, Arc<str>)], headers: &HeaderMap) -> Vec<(Arc<str>, Bytes)> {
    let mut found = Vec::new();
    for (name, shown) in wanted {
        let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let Some(first) = values.next() else { continue };
        let value = values.fold(first.to_vec(), |all, value| [&all, &b", "[..], value].concat());
        found.push((Arc::clone(shown), Bytes::from(value)));
    }
    found
}

/// A host with an optional port: letters, digits, `.`, `-`, `_`, `~`, `%`, or an IPv6 address in brackets.
///
/// # Errors
/// User information, lists, a port that is none, anything else.
pub(crate) fn authority(text: &[u8]) -> Result<(), Refusal> {
    const BAD: Refusal = Refusal::Header("the host is malformed");
    let (host, port) = if text.first() == Some(&b'[') {
        let end = memchr::memchr(b']', text).ok_or(BAD)?;
        let inside = &text[1..end];
        if !inside.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) || inside.is_empty() {
            return Err(BAD);
        }
        (&text[..=end], &text[end + 1..])
    } else {
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
        if end == 0 || !text[..end].iter().all(plain) {
            return Err(BAD);
        }
        (&text[..end], &text[end..])
    };
    let port_ok = match port.split_first() {
        None => true,
        Some((b':', digits)) => {
            let value = digits.iter().try_fold(0u16, |n, b| {
                let digit = b.is_ascii_digit().then(|| u16::from(b - b'0'))?;
                n.checked_mul(10)?.checked_add(digit)
            });
            !digits.is_empty() && value.is_some()
        }
        Some(_) => false,
    };
    if host.is_empty() || !port_ok { Err(BAD) } else { Ok(()) }
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
