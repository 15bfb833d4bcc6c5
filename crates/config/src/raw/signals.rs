//! Names out of the catalogue of signals: whatever is added there can be configured.

use std::borrow::Cow;

use control::{CATALOGUE, Kind, Scope, Signal};
use monitor::Check;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SignalName(pub(crate) Signal);

/// A check of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct CheckName(pub(crate) Check);

/// Which features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ScopeName(pub(crate) Scope);

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct KindName(pub(crate) Kind);

/// A schema of words, each with its meaning.
fn words(words: impl IntoIterator<Item = (&'static str, &'static str)>) -> Schema {
    let one = |(word, meaning)| json!({ "description": meaning, "type": "string", "const": word });
    let all: Vec<Value> = words.into_iter().map(one).collect();
    json_schema!({ "oneOf": all })
}

macro_rules! schema_of_words {
    ($type:ident, $words:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                words($words)
            }
        }
    };
}

schema_of_words!(SignalName, CATALOGUE.iter().map(|spec| (spec.name, spec.summary)));
schema_of_words!(CheckName, Check::ALL.map(|check| (check.as_str(), check_meaning(check))));
schema_of_words!(KindName, Kind::ALL.map(|kind| (kind.as_str(), kind_meaning(kind))));
schema_of_words!(
    ScopeName,
    [
        ("all", "Features and predictions."),
        ("features", "Features alone."),
        ("prediction", "Predictions alone."),
    ]
);

const fn check_meaning(check: Check) -> &'static str {
    match check {
        Check::Missing => "Values that are null, NaN, empty or left out.",
        Check::Type => "Values of another type than in the reference, numbers in strings included.",
        Check::Unseen => "Categories that the reference does not have.",
        Check::Range => "Numbers outside the range of the reference.",
        Check::Constant => "One and the same value again and again.",
        Check::Absent => "Requests without a feature of the reference.",
        Check::New => "Requests with a feature that the reference does not have.",
        Check::Duplicate => "Requests that repeat an earlier one.",
    }
}

const fn kind_meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Drift => "`psi`, `psi_raw` and `drift`.",
        Kind::Tenant => "`tenant_psi`.",
        Kind::Errors => "`error_rate`.",
        Kind::Latency => "`latency_p50`, `latency_p95` and `latency_p99`.",
        Kind::Frozen => "`quality` with `check: constant` and `of: prediction`.",
        Kind::Rejected => "`rejected_rate` and `unreadable_rate`.",
        Kind::Traffic => "`volume` and `no_traffic`.",
        Kind::Quality => "`quality`.",
    }
}
