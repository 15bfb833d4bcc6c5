//! How fast an answer came, from the two times that an exchange carries.

use crate::Exchange;

/// When an answer's first byte and its last one came, milliseconds after the request's head.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timing {
    first_byte_ms: Option<f64>,
    /// `None` when it is not known.
    end_ms: Option<f64>,
}

impl Timing {
    /// The times of an exchange.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        let known = |ms: f64| (ms.is_finite() && ms > 0.0).then_some(ms);
        Self { first_byte_ms: exchange.first_byte_ms.and_then(known), end_ms: known(exchange.latency_ms) }
    }

    /// The probes that can be told. `deltas` is given for streams, `tokens` when the answer has a usage.
    ///
    /// Of a stream: `ttft_ms`, the time to its first byte, and `tokens_per_second`, the tokens after the first over the
    /// time after the first byte; without a usage `deltas_per_second` in its stead, the same with pieces of text. Of an
    /// answer in one piece: `tokens_per_second`, all tokens over the whole time.
    pub(crate) fn probes(
        self,
        deltas: Option<u64>,
        tokens: Option<f64>,
    ) -> impl Iterator<Item = (&'static str, f64)> {
        let rate = |count: f64, ms: f64| (count > 0.0 && ms > 0.0).then(|| count / ms * 1e3);
        let after_first = self.end_ms.zip(self.first_byte_ms).map(|(end, first)| end - first);
        let (tokens_rate, deltas_rate) = match (deltas, tokens) {
            (Some(_), Some(tokens)) => (after_first.and_then(|ms| rate(tokens - 1.0, ms)), None),
            (Some(deltas), None) => (None, after_first.and_then(|ms| rate(deltas as f64 - 1.0, ms))),
            (None, tokens) => (tokens.zip(self.end_ms).and_then(|(tokens, ms)| rate(tokens, ms)), None),
        };
        [
            ("prediction.ttft_ms", deltas.and(self.first_byte_ms)),
            ("prediction.tokens_per_second", tokens_rate),
            ("prediction.deltas_per_second", deltas_rate),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(
        first: Option<f64>,
        end: f64,
        deltas: Option<u64>,
        tokens: Option<f64>,
    ) -> Vec<(&'static str, f64)> {
        let end_ms = (end > 0.0).then_some(end);
        Timing { first_byte_ms: first, end_ms }.probes(deltas, tokens).collect()
    }

    #[test]
    fn rates_are_told_as_far_as_the_times_are_known() {
        let (ttft, tokens, deltas) =
            ("prediction.ttft_ms", "prediction.tokens_per_second", "prediction.deltas_per_second");
        assert_eq!(probes(Some(100.0), 1100.0, Some(9), Some(21.0)), [(ttft, 100.0), (tokens, 20.0)]);
        assert_eq!(probes(Some(100.0), 1100.0, Some(9), None), [(ttft, 100.0), (deltas, 8.0)]);
        assert_eq!(probes(Some(100.0), 2000.0, None, Some(21.0)), [(tokens, 10.5)]);
        // One token has no rate, nor has a stream that came at once.
        assert_eq!(probes(Some(100.0), 1100.0, Some(1), Some(1.0)), [(ttft, 100.0)]);
        assert_eq!(probes(Some(100.0), 100.0, Some(5), Some(5.0)), [(ttft, 100.0)]);
        assert_eq!(probes(None, 0.0, Some(5), Some(5.0)), []);
        assert_eq!(probes(None, 0.0, None, Some(5.0)), []);
        assert_eq!(probes(Some(1.0), 5.0, None, None), []);
    }
}
