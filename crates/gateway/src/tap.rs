//! The hook that observes exchanges.

use record::Exchange;

/// Takes every finished exchange, prod and shadow. Called on the data plane's threads: must return at once, must not
/// block, and counts what it drops.
pub trait Tap: Send + Sync + 'static {
    /// Offers one exchange.
    fn offer(&self, exchange: Exchange);

    /// An exchange that is not offered, and why: `capture_limit` (a body over the limit), `aborted` (client or upstream
    /// went away before the answer's end).
    fn skipped(&self, model: &str, reason: &'static str);
}

/// A tap that observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTap;

impl Tap for NoTap {
    fn offer(&self, _exchange: Exchange) {}
    fn skipped(&self, _model: &str, _reason: &'static str) {}
}
