//! What only LLM routes need: shadows that log, budgets, the embedding cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Size;

/// What a shadow does with the requests drawn for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ShadowMode {
    /// Sends a copy to `version` and measures its answer.
    #[default]
    Copy,
    /// Sends nothing to anyone: the requests and production's answers are logged and measured once more, on the shadow
    /// lane.
    LogOnly,
}

/// What a shadow that generates may cost. A day is one of UTC.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Tokens a day, of prompts and answers together, after which copies stop.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(crate) tokens_per_day: Option<u64>,
    /// Dollars a day after which copies stop. Needs the prices.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub(crate) usd_per_day: Option<f64>,
    /// Price of a million tokens of prompts.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) usd_per_million_prompt_tokens: Option<f64>,
    /// Price of a million tokens of answers.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) usd_per_million_completion_tokens: Option<f64>,
}

/// Embeddings that have been paid for, kept for shadows and probes. Clients never get one of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EmbeddingCache {
    /// Embeddings kept; the ones not used for longest go first.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub(crate) entries: usize,
    /// Bytes they may hold.
    #[schemars(extend("x-min" = "1KiB"))]
    pub(crate) bytes: Size,
    /// Keep them over a restart, in a file of their own in the `store` folder.
    pub(crate) persist: bool,
    /// Who may be served what another one paid for.
    pub(crate) scope: CacheScope,
}

impl Default for EmbeddingCache {
    fn default() -> Self {
        Self { entries: 100_000, bytes: Size(256 << 20), persist: true, scope: CacheScope::Tenant }
    }
}

/// Who shares embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CacheScope {
    /// The requests of one tenant. Requests without a tenant share among themselves.
    #[default]
    Tenant,
    /// All requests of a model.
    All,
}
