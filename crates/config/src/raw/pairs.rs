//! Answers of production and shadow, joined by request id.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Span;

/// What a shadow is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ShadowRole {
    /// Another version, compared with the one that answers clients.
    #[default]
    Candidate,
    /// A second answer of the version that answers clients, whichever that is: how much it disagrees with itself is the
    /// noise that a candidate's disagreement is shown beside. Its answers count in no window. `version` need not be named.
    Noise,
}

/// Whether production's and the shadow's answers are joined: `false`, or how they are compared.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Pairs {
    /// `false`: they are not joined.
    #[expect(dead_code, reason = "`false` is all it can be")]
    Off(#[schemars(extend("const" = false))] bool),
    Detail(PairsDetail),
}

/// When two answers to one request disagree, and how long one waits for the other.
///
/// Numbers disagree when they are further apart than both tolerances allow, texts when they differ.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PairsDetail {
    /// Numbers at most this far apart agree.
    #[schemars(range(min = 0))]
    pub(crate) absolute_tolerance: f64,
    /// Numbers at most this share of production's number apart agree.
    #[schemars(range(min = 0, max = 1_000))]
    pub(crate) relative_tolerance: f64,
    /// Share of disagreeing predictions, beyond the noise where that is measured, that is taken as fine.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) max_disagreement: f64,
    /// How long an answer waits for the other one.
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub(crate) max_wait: Span,
}

impl Default for PairsDetail {
    fn default() -> Self {
        Self {
            absolute_tolerance: 1e-6,
            relative_tolerance: 0.01,
            max_disagreement: 0.01,
            max_wait: Span(std::time::Duration::from_secs(60)),
        }
    }
}
