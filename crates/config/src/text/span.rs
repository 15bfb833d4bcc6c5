//! Durations (`5s`, `1m30s`) and sizes (`1MiB`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::text::{Refusal, written_as_text};

/// Longest duration: ten years. Keeps every sum of times far from overflow.
const SPAN_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// Units of time in nanoseconds, largest first.
const TIME_UNITS: [(&str, f64); 6] =
    [("d", 86_400e9), ("h", 3_600e9), ("m", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];

/// Units of size in bytes, largest first within a family.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// In milliseconds.
    pub(crate) fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || {
            Refusal::new("expected a duration with its unit").hint("write `250ms`, `5s`, `2m`, `1h` or `1d`")
        };
        let mut nanoseconds = 0.0;
        let mut rest = text;
        while !rest.is_empty() {
            let (number, unit, after) = number_and_unit(rest).ok_or_else(refused)?;
            let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
            nanoseconds += number * factor;
            rest = after;
        }
        if text.is_empty() {
            return Err(refused());
        }
        if nanoseconds > SPAN_MAX.as_nanos() as f64 {
            return Err(Refusal::new("expected a duration of at most ten years"));
        }
        Ok(Self(Duration::from_nanos(nanoseconds.round() as u64)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        let whole = TIME_UNITS
            .iter()
            .find(|(_, factor)| nanoseconds > 0 && nanoseconds.is_multiple_of(*factor as u128));
        match whole {
            Some((unit, factor)) => write!(f, "{}{unit}", nanoseconds / (*factor as u128)),
            None => write!(f, "{}s", self.0.as_secs_f64()),
        }
    }
}

written_as_text!(Span, "duration", Some(r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h|d))+$"));

impl serde::Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refused = || {
            Refusal::new("expected a size in bytes or with a unit").hint("write `16KiB`, `1MiB` or `1048576`")
        };
        if let Ok(bytes) = text.parse() {
            return Ok(Self(bytes));
        }
        let (number, unit, rest) = number_and_unit(text).ok_or_else(refused)?;
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let bytes = number * *factor as f64;
        if !rest.is_empty() || bytes > (1u64 << 53) as f64 {
            return Err(refused());
        }
        Ok(Self(bytes.round() as u64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            SIZE_UNITS.iter().take(3).find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl serde::Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl schemars::JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": ["string", "integer"],
            "x-kind": "size",
            "pattern": r"^[0-9]+(\.[0-9]+)?(B|kB|MB|GB|KiB|MiB|GiB)$",
            "minimum": 0,
        })
    }
}

/// A number, the letters after it, and what follows those.
fn number_and_unit(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    let well_formed = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    let number: f64 = number.parse().ok()?;
    (well_formed && number.is_finite()).then_some((number, unit, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, milliseconds: u64| {
            assert_eq!(text.parse::<Span>().unwrap().as_millis(), milliseconds);
        };
        check("250ms", 250);
        check("5s", 5_000);
        check("1.5s", 1_500);
        check("2m", 120_000);
        check("1m30s", 90_000);
        check("1h", 3_600_000);
        check("30d", 2_592_000_000);
        check("0s", 0);
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5S",
            "5s5",
            ".5s",
            "5.s",
            "1e3s",
            "nan",
            "inf",
            "99999999999d",
            "5min",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(text.parse::<Size>().unwrap().0, bytes);
        check("0", 0);
        check("1024", 1024);
        check("16KiB", 16_384);
        check("1.5MiB", 1_572_864);
        check("1GB", 1_000_000_000);
        for text in ["", "-1", "1 MiB", "1M", "1MiB1", "1e9", "99999999999999GiB", "MiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back(microseconds in 0u64..1_000_000_000_000, bytes in 0u64..(1 << 52)) {
            let span = Span(Duration::from_micros(microseconds));
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
            prop_assert_eq!(Size(bytes).to_string().parse::<Size>(), Ok(Size(bytes)));
        }
    }
}
