//! Why requests were refused, where the operator looks: one line a minute for each reason, with the place and what to do.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use http::HeaderValue;

use crate::counters::Counters;
use crate::flight::Flight;
use crate::refusal::Refusal;
use crate::upstream::SendError;

/// Time between two lines about one reason, milliseconds.
const LOG_EVERY_MS: i64 = 60_000;

/// Bytes of a path that are shown.
const PATH_SHOWN: usize = 200;

/// When a reason was last logged, and what was kept back since.
#[derive(Debug)]
struct Turn {
    /// Milliseconds since `anchor`; negative before the first line.
    logged_ms: AtomicI64,
    unlogged: AtomicU64,
}

/// The turns of every reason.
#[derive(Debug)]
pub(crate) struct Notices {
    anchor: Instant,
    turns: [Turn; Refusal::COUNT],
    unserved: [Turn; 2],
    pub(crate) listen: Option<SocketAddr>,
}

impl Notices {
    /// Notices of a gateway that listens there.
    pub(crate) fn new(listen: Option<SocketAddr>) -> Self {
        let turn = |_| Turn { logged_ms: AtomicI64::new(-1), unlogged: AtomicU64::new(0) };
        Self {
            anchor: Instant::now(),
            turns: std::array::from_fn(turn),
            unserved: std::array::from_fn(turn),
            listen,
        }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.anchor.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn turn(&self, refusal: Refusal) -> Option<u64> {
        self.turns[refusal.index()].take(self.now_ms())
    }
}

impl Turn {
    /// Whether a line is due; if so, how many were kept back since the last.
    fn take(&self, now_ms: i64) -> Option<u64> {
        let last = self.logged_ms.load(Relaxed);
        let due = last < 0 || now_ms - last >= LOG_EVERY_MS;
        // Of several threads one has the turn.
        if due && self.logged_ms.compare_exchange(last, now_ms, Relaxed, Relaxed).is_ok() {
            return Some(self.unlogged.swap(0, Relaxed));
        }
        self.unlogged.fetch_add(1, Relaxed);
        None
    }
}

/// The client of a refused request.
#[derive(Clone, Copy)]
pub(crate) enum Peer<'a> {
    Text(&'a HeaderValue),
    Ip(IpAddr),
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text.to_str().unwrap_or_default()),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Counts a refusal, and logs it when it is its reason's turn. `path` is without query, and empty when it is not known.
pub(crate) fn refused(counters: &Counters, refusal: Refusal, peer: Peer<'_>, path: &[u8]) {
    counters.refused(refusal);
    let Some(suppressed) = counters.notices.turn(refusal) else { return };
    tracing::warn!(
        reason = refusal.code(),
        status = refusal.status().as_u16(),
        listen = %Listen(counters.notices.listen),
        %peer,
        path = &*shown(path),
        suppressed,
        "request refused: {}; {}",
        refusal.message(),
        refusal.advice(),
    );
}

/// The same for a request that was on its way to a version, with what went wrong there.
pub(crate) fn failed(
    counters: &Counters,
    refusal: Refusal,
    peer: Peer<'_>,
    flight: &Flight,
    error: Option<&SendError>,
) {
    counters.refused(refusal);
    let Some(suppressed) = counters.notices.turn(refusal) else { return };
    let version = flight.version();
    tracing::warn!(
        reason = refusal.code(),
        status = refusal.status().as_u16(),
        listen = %Listen(counters.notices.listen),
        %peer,
        path = &*shown(flight.seen.as_ref().map_or(&[], |seen| &seen.path)),
        model = &*flight.model().route.name,
        version = &*version.name,
        upstream = %version.target.upstream.url,
        suppressed,
        "request refused: {}{}; {}",
        refusal.message(),
        error.map(|error| format!(" ({error})")).unwrap_or_default(),
        refusal.advice(),
    );
}

/// Why a connection was closed before it brought a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unserved {
    Connections,
    TlsHandshake,
}

/// Logs a connection that was closed before it brought a request, when it is its reason's turn.
pub(crate) fn turned_away(counters: &Counters, why: Unserved, peer: SocketAddr, detail: &dyn fmt::Display) {
    let notices = &counters.notices;
    let Some(suppressed) = notices.unserved[why as usize].take(notices.now_ms()) else { return };
    let (reason, advice) = match why {
        Unserved::Connections => ("connections", "raise `limits.connections`, or find who keeps them open"),
        Unserved::TlsHandshake => ("tls_handshake", "the client must speak TLS and trust the certificate"),
    };
    let listen = Listen(notices.listen);
    tracing::warn!(reason, %listen, %peer, suppressed, "connection refused: {detail}; {advice}");
}

struct Listen(Option<SocketAddr>);

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}

fn shown(path: &[u8]) -> String {
    let end = path.iter().position(|&b| b == b'?').unwrap_or(path.len()).min(PATH_SHOWN);
    let text = path[..end].escape_ascii().to_string();
    // Some put an address or a number of a customer into the path.
    record::Privacy::default().line(&text)
}

/// The target of the request line that `head` begins with.
pub(crate) fn target_of(head: &[u8]) -> &[u8] {
    let line = head.split(|&b| b == b'\r' || b == b'\n').next().unwrap_or_default();
    line.split(|&b| b == b' ').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_once_a_minute_with_the_number_of_those_between() {
        let turn = Turn { logged_ms: AtomicI64::new(-1), unlogged: AtomicU64::new(0) };
        assert_eq!(turn.take(0), Some(0));
        assert_eq!((turn.take(1), turn.take(59_999)), (None, None));
        assert_eq!(turn.take(60_000), Some(2));
        let notices = Notices::new(None);
        assert_eq!(notices.turn(Refusal::NoRoute), Some(0));
        assert_eq!(notices.turn(Refusal::NoRoute), None);
        assert_eq!(notices.turn(Refusal::Framing("x")), Some(0), "each reason has a minute of its own");
    }

    #[test]
    fn paths_are_shown_without_query_and_control_characters() {
        assert_eq!(shown(b"/a?secret=1"), "/a");
        assert_eq!(shown(b"/\x1b[31m"), "/\\x1b[31m");
        assert_eq!(shown(&[b'x'; 1_000]).len(), PATH_SHOWN);
        assert_eq!(target_of(b"GET /a?b HTTP/1.1\r\nX: y"), b"/a?b");
        for other in [&b""[..], b"GET", b"\r\n", b"\xff\xff"] {
            assert!(target_of(other).is_empty());
        }
    }
}
