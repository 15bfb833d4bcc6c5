//! Whole bodies without personal data, for logs that hold bodies.

use serde_json::{Map, Value};

use super::{Privacy, is_card};

/// See [`Privacy::redact_json`].
pub(super) fn redact(privacy: &Privacy, body: &[u8], limit: usize) -> Option<String> {
    if body.len() > limit {
        return None;
    }
    let mut out = String::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        let mut value = value.ok()?;
        Walk { privacy, path: String::new() }.value(&mut value, None);
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&value.to_string());
    }
    (!out.is_empty()).then_some(out)
}

struct Walk<'p> {
    privacy: &'p Privacy,
    /// Keys on the way, with dots between; places in arrays are left out.
    path: String,
}

impl Walk<'_> {
    /// `named` is where in the path the name of the field starts that covers the value.
    fn value(&mut self, value: &mut Value, named: Option<usize>) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, named)),
            Value::Object(object) => self.object(object, named),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if let Some(hashed) = self.scalar(value, named) {
                    *value = Value::String(hashed);
                }
            }
        }
    }

    fn object(&mut self, object: &mut Map<String, Value>, named: Option<usize>) {
        let length = self.path.len();
        // A tensor says its name beside its values.
        let tensor = object.get("name").and_then(Value::as_str).filter(|name| self.privacy.is_named(name));
        let tensor = tensor.map(str::to_owned);
        for (key, mut value) in std::mem::take(object) {
            match &tensor {
                Some(name) if matches!(key.as_str(), "data" | "values" | "contents") => {
                    let before = std::mem::replace(&mut self.path, name.clone());
                    self.value(&mut value, Some(0));
                    self.path = before;
                }
                _ => {
                    if length > 0 {
                        self.path.push('.');
                    }
                    self.path.push_str(&key);
                    let named = named.or_else(|| self.named_from());
                    self.value(&mut value, named);
                    self.path.truncate(length);
                }
            }
            object.insert(self.privacy.redact_text(&key).into_owned(), value);
        }
    }

    /// Where the name of a named field starts that the path ends with.
    fn named_from(&self) -> Option<usize> {
        let starts = std::iter::once(0).chain(self.path.match_indices('.').map(|(at, _)| at + 1));
        starts.into_iter().find(|at| self.privacy.is_named(self.path.get(*at..).unwrap_or_default()))
    }

    fn scalar(&self, value: &Value, named: Option<usize>) -> Option<String> {
        let is_card = |number: &serde_json::Number| {
            self.privacy.detectors.card && number.as_u64().is_some_and(is_card)
        };
        match (value, named) {
            (Value::Number(number), None) if !is_card(number) => None,
            (Value::Bool(_), None) => None,
            (Value::String(text), None) => self.privacy.detected(&self.path, text),
            (value, named) => {
                let field = self.path.get(named.unwrap_or(0)..).unwrap_or_default();
                let text = match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                Some(self.privacy.pseudonym(field, &text))
            }
        }
    }
}
