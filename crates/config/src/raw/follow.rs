//! `models.*.follow`: what names the version that clients get.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raw::{AnyText, Aws, Named};
use crate::text::{FileName, Name, SecretText, Span};

/// What is followed: exactly one of the kinds below. A value that is no version of the model changes nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Follow {
    /// How often it is looked at. The parameter store takes 40 calls a second for a whole account.
    #[serde(default = "default_every")]
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub(crate) every: Span,
    /// What values stand for which of our versions, where they are not the same.
    pub(crate) names: Option<Named<AnyText, Name>>,
    /// A parameter of AWS Systems Manager.
    pub(crate) ssm: Option<FollowSsm>,
    /// A file's first line.
    pub(crate) file: Option<FileName>,
    /// The body of an HTTP endpoint's answer.
    pub(crate) http: Option<FollowHttp>,
}

/// A parameter of AWS Systems Manager.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowSsm {
    /// Where AWS is, and as whom it is called.
    #[serde(default)]
    pub(crate) aws: Aws,
    /// Its name.
    #[serde(default = "default_parameter")]
    #[schemars(length(min = 1, max = 1011))]
    pub(crate) parameter: String,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FollowHttp {
    /// Its address.
    pub(crate) url: Option<SecretText>,
    /// File that holds the address, when it is a credential. Instead of `url`.
    pub(crate) url_file: Option<FileName>,
    /// Bearer token.
    pub(crate) token: Option<SecretText>,
    /// File that holds the token. Instead of `token`.
    pub(crate) token_file: Option<FileName>,
}

fn default_every() -> Span {
    Span(Duration::from_secs(5))
}

fn default_parameter() -> String {
    "/model/current".to_owned()
}
