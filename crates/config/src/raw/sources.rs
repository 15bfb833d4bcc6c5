//! Sources: where inferences come from beside the gateway.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::Name;

/// A source: exactly one of the kinds below, and what its inferences belong to when they don't say it themselves.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// The model of inferences that name none. Not needed with a single model.
    pub(crate) model: Option<Name>,
    /// The version of inferences that name none. Without it, the model's active one.
    pub(crate) version: Option<Name>,
    /// The tenant of inferences that name none.
    pub(crate) tenant: Option<Name>,
    /// The lane of inferences that name none.
    #[serde(default)]
    pub(crate) lane: Lane,
    /// JSON lines on standard input.
    pub(crate) stdin: Option<Stdin>,
}

/// A lane.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lane {
    /// Real traffic.
    #[default]
    Prod,
    /// Copies.
    Shadow,
}

/// Standard input.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stdin {
    /// What a line holds.
    #[serde(default)]
    pub(crate) format: Format,
}

/// What a line or a message holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// Inference records, as in the inference log and for `POST /api/v1/observe`.
    #[default]
    Record,
    /// Any JSON, read by the paths under the model's `features` and `prediction`.
    Json,
}
