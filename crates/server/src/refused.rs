//! Calls that were refused: counted by reason, and logged once a minute by reason with the place and what to do. Senders of
//! copies throw answers away, so what an answer says is read nowhere.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use axum::http::{HeaderValue, Method};

/// Time between two lines about one reason, milliseconds.
const LOG_EVERY_MS: i64 = 60_000;

/// Longest host and path in a line, characters.
const SHOWN: usize = 200;

/// Why copies and records are refused: the codes of the answers.
const REASONS: [&str; 16] = [
    "host_not_allowed",
    "cross_origin",
    "unauthorized",
    "local_only",
    "unknown_model",
    "unknown_version",
    "no_shadow",
    "bad_model",
    "bad_lane",
    "bad_record",
    "bad_event",
    "batch",
    "too_large",
    "aborted",
    "monitor",
    "other",
];

#[derive(Debug)]
struct Reason {
    count: AtomicU64,
    /// When it was last logged, unix milliseconds; 0 before the first time.
    logged_ms: AtomicI64,
    unlogged: AtomicU64,
}

/// Refused calls by reason.
#[derive(Debug)]
pub(crate) struct Refused([Reason; REASONS.len()]);

/// One refused call.
#[derive(Debug)]
pub(crate) struct RefusedCall<'a> {
    /// What was called: `mirror`, `observe` and so on.
    pub(crate) what: &'static str,
    pub(crate) peer: SocketAddr,
    pub(crate) method: &'a Method,
    pub(crate) host: Option<&'a HeaderValue>,
    /// Without the query.
    pub(crate) path: &'a str,
    pub(crate) reason: &'static str,
    pub(crate) message: &'a str,
}

impl Default for Refused {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Reason {
            count: AtomicU64::new(0),
            logged_ms: AtomicI64::new(0),
            unlogged: AtomicU64::new(0),
        }))
    }
}

impl Refused {
    fn of(&self, reason: &str) -> &Reason {
        let known = REASONS.iter().position(|known| *known == reason).unwrap_or(REASONS.len() - 1);
        &self.0[known]
    }

    /// Counts one.
    pub(crate) fn count(&self, reason: &str) {
        self.of(reason).count.fetch_add(1, Relaxed);
    }

    /// Logs one, at most once a minute for each reason.
    pub(crate) fn log(&self, call: &RefusedCall<'_>, now_ms: i64) {
        let Some(suppressed) = self.of(call.reason).turn(now_ms) else { return };
        let cut = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let privacy = record::Privacy::default();
        let host = call.host.map(|host| cut(&String::from_utf8_lossy(host.as_bytes())));
        tracing::warn!(
            reason = call.reason,
            peer = %call.peer,
            method = %call.method,
            host = host.as_deref().unwrap_or_default(),
            path = privacy.line(&cut(call.path)),
            suppressed,
            "{} call refused: {}",
            call.what,
            privacy.line(call.message),
        );
    }

    /// Every reason with its count, also at zero.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REASONS.iter().zip(&self.0).map(|(reason, entry)| (*reason, entry.count.load(Relaxed)))
    }
}

impl Reason {
    /// Whether a line is due; if so, how many were kept back since the last.
    fn turn(&self, now_ms: i64) -> Option<u64> {
        let last = self.logged_ms.load(Relaxed);
        let due = last == 0 || now_ms < last || now_ms - last >= LOG_EVERY_MS;
        if due && self.logged_ms.compare_exchange(last, now_ms, Relaxed, Relaxed).is_ok() {
            return Some(self.unlogged.swap(0, Relaxed));
        }
        self.unlogged.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_once_a_minute_with_the_number_of_those_between() {
        let refused = Refused::default();
        let reason = refused.of("cross_origin");
        assert_eq!(reason.turn(1_000), Some(0));
        assert_eq!((reason.turn(1_001), reason.turn(60_999)), (None, None));
        assert_eq!(refused.of("unauthorized").turn(1_002), Some(0), "each reason has a minute of its own");
        assert_eq!(reason.turn(61_000), Some(2));
        assert_eq!(reason.turn(5), Some(0), "a clock that was set back");
    }

    #[test]
    fn reasons_that_nobody_listed_are_counted_as_other() {
        let refused = Refused::default();
        refused.count("bad_lane");
        refused.count("brand_new");
        let counted: Vec<_> = refused.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("bad_lane", 1), ("other", 1)]);
    }
}
