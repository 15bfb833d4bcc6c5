//! One JSON object as named values.
//!
//! Numbers are taken as they are written and parsed by the standard library: serde_json's own conversion may be off by
//! one unit in the last place, which would put a value at an edge into another bin than the same value in a CSV file.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects may be nested this deep.
const DEPTH_MAX: usize = 16;

/// A value that is not an object.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'a> {
    Missing,
    Boolean(bool),
    /// `raw` is the number's text.
    Number {
        value: f64,
        raw: &'a str,
    },
    Text(Cow<'a, str>),
    List,
}

type See<'s> = dyn FnMut(&str, Value<'_>) -> Result<(), String> + 's;

/// Calls `see` with each value of the object in `text`; nested keys are joined with dots.
pub(super) fn flatten(text: &str, see: &mut See<'_>) -> Result<(), String> {
    flatten_object(text, &mut String::new(), 0, see)
}

fn flatten_object(text: &str, prefix: &mut String, depth: usize, see: &mut See<'_>) -> Result<(), String> {
    if depth == DEPTH_MAX {
        return Err(format!("objects are nested deeper than {DEPTH_MAX}"));
    }
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| describe(&error))?;
    let outer = prefix.len();
    for (key, raw) in object.0 {
        if outer > 0 {
            prefix.push('.');
        }
        prefix.push_str(&key.0);
        let raw = raw.get();
        match raw.as_bytes().first() {
            Some(b'{') => flatten_object(raw, prefix, depth + 1, see)?,
            _ => see(prefix, scalar(raw)?)?,
        }
        prefix.truncate(outer);
    }
    Ok(())
}

fn scalar(raw: &str) -> Result<Value<'_>, String> {
    Ok(match raw.as_bytes().first() {
        Some(b'n') => Value::Missing,
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'[') => Value::List,
        Some(b'"') => {
            let text: Key<'_> = serde_json::from_str(raw).map_err(|error| describe(&error))?;
            Value::Text(text.0)
        }
        _ => {
            let value = raw.parse().map_err(|_| format!("`{raw}` is not a number"))?;
            Value::Number { value, raw }
        }
    })
}

/// serde_json's message without its line, which is always 1 here.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("not a JSON object: {what} at column {}", error.column())
}

/// Keys and values in order, not yet looked into.
struct Object<'a>(Vec<(Key<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A string, borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        flatten(text, &mut |name, value| {
            out.push(format!("{name}={value:?}"));
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn nested_keys_are_joined() {
        let got = names(r#"{"a":1,"b":{"c":"x\n","d":{"e":null}},"f":[1],"g":true,"h":2.50}"#).unwrap();
        assert_eq!(
            got,
            [
                "a=Number { value: 1.0, raw: \"1\" }",
                "b.c=Text(\"x\\n\")",
                "b.d.e=Missing",
                "f=List",
                "g=Boolean(true)",
                "h=Number { value: 2.5, raw: \"2.50\" }",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(names("{\"a\":1").unwrap_err().starts_with("not a JSON object: EOF while parsing an object"));
        assert!(names("7").unwrap_err().contains("expected an object"));
        let deep = "{\"a\":".repeat(17) + "1" + &"}".repeat(17);
        assert_eq!(names(&deep).unwrap_err(), "objects are nested deeper than 16");
    }
}
