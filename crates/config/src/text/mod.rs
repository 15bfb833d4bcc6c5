//! Values that are written as text and mean more: addresses, durations, sizes, names.
//!
//! Each is a type whose `FromStr` is the only way in, so that a value that exists is valid. The same function checks a
//! value while the tree is read (with its place at hand) and when the types are deserialised. A refusal never repeats
//! the value: whoever reports it knows whether it may be shown.

mod kinds;
mod names;
mod span;
mod urls;

pub(crate) use kinds::{check, noun};
pub(crate) use names::{HeaderText, HostText, MethodText, Name, PathText, PrefixText, RuleName};
pub(crate) use span::{Size, Span};
pub(crate) use urls::{Address, FileName, Link, SecretText, Url};

/// Why a text was refused. Holds nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was expected.
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Serde and schema of a type that is written as text. `x-kind` names the check in [`check`]; the pattern is for
/// editors, which do not know our kinds.
macro_rules! written_as_text {
    ($type:ident, $kind:literal, $pattern:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let pattern: Option<&str> = $pattern;
                match pattern {
                    Some(pattern) => {
                        schemars::json_schema!({ "type": "string", "x-kind": $kind, "pattern": pattern })
                    }
                    None => schemars::json_schema!({ "type": "string", "x-kind": $kind, "minLength": 1 }),
                }
            }
        }
    };
}

use written_as_text;
