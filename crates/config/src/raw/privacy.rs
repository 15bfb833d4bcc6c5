//! `privacy`: what is hashed before anything is written, sent or shown.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::{FileName, SecretText};

/// What is hashed. By default the detectors look at every text, and hashes are plain SHA-256.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Privacy {
    /// Features and predictions that are hashed whatever they hold: names as in metrics, `customer.*` for all that begin
    /// with `customer.`. `tenant` and `request_id` are what they say.
    #[schemars(length(max = 1000))]
    pub(crate) fields: Vec<String>,
    /// What is looked for everywhere else. An empty list looks for nothing.
    #[schemars(length(max = 4))]
    pub(crate) detectors: Vec<Detector>,
    /// Fields that hold categories, whatever they read like: names as in metrics. Everywhere else free text (several words, a
    /// sentence, what stands under keys such as `prompt` or `messages`) is measured and never kept.
    #[schemars(length(max = 1000))]
    pub(crate) categories: Vec<String>,
    /// Key of HMAC-SHA-256, at least 32 bytes. Recommended: a plain hash of an address is undone with a list of addresses.
    pub(crate) key: Option<SecretText>,
    /// File that holds the key; the line end is taken off. Instead of `key`.
    pub(crate) key_file: Option<FileName>,
}

impl Default for Privacy {
    fn default() -> Self {
        let detectors = vec![Detector::Email, Detector::Card, Detector::Phone, Detector::Ip];
        Self { fields: Vec::new(), detectors, categories: Vec::new(), key: None, key_file: None }
    }
}

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Detector {
    /// E-mail addresses.
    Email,
    /// Payment cards, by issuer, length and check digit.
    Card,
    /// Phone numbers.
    Phone,
    /// IP addresses.
    Ip,
}
