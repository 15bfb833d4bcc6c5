//! The reference documentation, rendered from the schema.

use std::collections::VecDeque;

use serde_json::Value;

use crate::schema::read::noun;
use crate::schema::{alternatives, schema, type_of, words};

/// What the tables cannot say.
const INTRODUCTION: &str = include_str!("reference_introduction.md");

/// `docs/configuration.md`: every key with its values, default and meaning.
pub fn reference_markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    let mut sections = VecDeque::from([Section { path: String::new(), depth: 0, schema: schema().clone() }]);
    while let Some(section) = sections.pop_front() {
        let below = section.render(&mut out);
        // Depth first, so that a section stands near the key that leads to it.
        for section in below.into_iter().rev() {
            sections.push_front(section);
        }
    }
    out
}

/// One map and its keys.
struct Section {
    path: String,
    depth: usize,
    schema: Value,
}

impl Section {
    /// Writes the section and returns those below it.
    fn render(&self, out: &mut String) -> Vec<Self> {
        let heading = if self.path.is_empty() { "Top level".to_owned() } else { format!("`{}`", self.path) };
        out.push_str(&format!("\n{} {heading}\n", "#".repeat((self.depth + 2).min(4))));
        if let (Some(text), false) = (description(&self.schema), self.path.is_empty()) {
            out.push_str(&format!("\n{text}\n"));
        }
        out.push_str("\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        let mut below = Vec::new();
        for (key, property) in properties(&self.schema) {
            let allowed = alternatives(property);
            let (values, default) =
                (values(&allowed, &self.below(key)), self.default(key, property, &allowed));
            out.push_str(&format!(
                "| `{key}` | {values} | {default} | {} |
",
                meaning(property, &allowed)
            ));
            below.extend(self.sections_below(key, &allowed));
        }
        below
    }

    /// The path of a key.
    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn default(&self, key: &str, property: &Value, allowed: &[Value]) -> String {
        let required = self
            .schema
            .get("required")
            .and_then(Value::as_array)
            .is_some_and(|keys| keys.iter().any(|k| k == key));
        let default =
            property.get("default").or_else(|| allowed.first().and_then(|schema| schema.get("default")));
        match default {
            _ if required => "required".to_owned(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => format!("`{value}`"),
            _ => String::new(),
        }
    }

    fn sections_below(&self, key: &str, allowed: &[Value]) -> Vec<Self> {
        let path = self.below(key);
        let mut found: Vec<Self> = Vec::new();
        for schema in allowed {
            let mut add = |path: String, schema: &Value| {
                let is_new =
                    !properties(schema).is_empty() && !found.iter().any(|section| section.path == path);
                if is_new {
                    found.push(Self { path, depth: self.depth + 1, schema: schema.clone() });
                }
            };
            add(path.clone(), schema);
            for (nested, suffix) in [("items", ""), ("additionalProperties", ".NAME")] {
                let inner = schema.get(nested).filter(|inner| inner.is_object()).map(alternatives);
                for inner in inner.iter().flatten() {
                    add(format!("{path}{suffix}"), inner);
                }
            }
        }
        found
    }
}

fn properties(schema: &Value) -> Vec<(&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    // Alternatives of an enum (`{ header: NAME }`) are explained with their words.
    if is_variant(schema) {
        return Vec::new();
    }
    properties.into_iter().flatten().map(|(key, value)| (key.as_str(), value)).collect()
}

fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description").and_then(Value::as_str)?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a key may hold, with bounds and links to the sections of maps.
fn values(allowed: &[Value], path: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for schema in allowed {
        let value = value(schema, path);
        if !shown.contains(&value) {
            shown.push(value);
        }
    }
    shown.join(" or ").replace('|', "\\|")
}

fn value(schema: &Value, path: &str) -> String {
    let inner = |key: &str| schema.get(key).filter(|inner| inner.is_object()).map(alternatives);
    match type_of(schema) {
        "object" => match inner("additionalProperties") {
            Some(inner) => format!("a map from names to {}", plurals(&inner, &format!("{path}.NAME"))),
            None if is_variant(schema) => variant_key(schema),
            // The anchor that GitHub makes of the heading.
            None => format!("[a map](#{})", path.to_lowercase().replace('.', "")),
        },
        "array" => format!("a list of {}", plurals(&inner("items").unwrap_or_default(), path)),
        _ => format!("{}{}", noun(schema), bounds(schema)),
    }
}

/// Values as the content of a list or map.
fn plurals(allowed: &[Value], path: &str) -> String {
    let plural = |schema: &Value| {
        let one = value(schema, path);
        let (text, bounds) =
            one.split_once(" (").map_or((one.as_str(), None), |(text, bounds)| (text, Some(bounds)));
        let text = match text.strip_prefix("[a map]") {
            Some(link) => format!("[maps]{link}"),
            None => format!("{}s", text.strip_prefix("an ").or(text.strip_prefix("a ")).unwrap_or(text)),
        };
        bounds.map_or(text.clone(), |bounds| format!("{text} ({bounds}"))
    };
    allowed.iter().map(plural).collect::<Vec<_>>().join(" or ")
}

fn bounds(schema: &Value) -> String {
    let show = |key: &str| {
        schema.get(key).map(|bound| match bound {
            Value::String(text) => text.clone(),
            // A whole bound reads better without its `.0`.
            other => other.as_f64().map_or_else(String::new, |number| number.to_string()),
        })
    };
    let is_text = schema.get("x-kind").is_some();
    let (least, most) =
        if is_text { (show("x-min"), show("x-max")) } else { (show("minimum"), show("maximum")) };
    match (least, most, show("exclusiveMinimum")) {
        (_, Some(most), Some(above)) => format!(" (above {above}, at most {most})"),
        (_, None, Some(above)) => format!(" (above {above})"),
        (Some(least), Some(most), None) => format!(" ({least} to {most})"),
        (Some(least), None, None) => format!(" (at least {least})"),
        (None, Some(most), None) => format!(" (at most {most})"),
        (None, None, None) => String::new(),
    }
}

/// A sentence as it goes on after a colon; `PSI` stays `PSI`.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// The key's description, then what each of its words means.
fn meaning(property: &Value, allowed: &[Value]) -> String {
    let own = description(property);
    let mut meaning = own.clone().or_else(|| allowed.first().and_then(description)).unwrap_or_default();
    for schema in allowed {
        let is_listed = !words(schema).is_empty() || is_variant(schema);
        let Some(text) = description(schema).filter(|text| is_listed && Some(text) != own.as_ref()) else {
            continue;
        };
        let word = match words(schema).first() {
            Some(word) => format!("`{word}`"),
            None => variant_key(schema),
        };
        meaning.push_str(&format!(" {word}: {}", lower_first(&text)));
    }
    meaning.replace('|', "\\|")
}

fn is_variant(schema: &Value) -> bool {
    !variant_key(schema).is_empty()
}

fn variant_key(schema: &Value) -> String {
    let map = schema.get("properties").and_then(Value::as_object);
    match map
        .filter(|map| map.len() == 1 && schema.get("required").is_some())
        .and_then(|map| map.keys().next())
    {
        Some(key) => format!("`{{ {key}: … }}`"),
        None => String::new(),
    }
}
