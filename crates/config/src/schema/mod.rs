//! The JSON schema: made from the types, read by editors, by our own reader and by the reference's renderer.

mod read;
mod reference;

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw::File;

pub(crate) use read::read;
pub use reference::reference_markdown;

/// The JSON schema (draft 2020-12) of `driftline.yaml`, for editors and other programs.
///
/// Three keywords are our own: `x-kind` names what a text means (`duration`, `size`, `url`, …), `x-min` and `x-max` bound
/// durations and sizes. Programs that do not know them ignore them.
pub fn json_schema() -> Value {
    schema().clone()
}

/// The schema, made once.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generator = SchemaSettings::draft2020_12().into_generator();
        let mut schema = Value::from(generator.into_root_schema_for::<File>());
        forbid_null(&mut schema);
        if let Some(root) = schema.as_object_mut() {
            root.insert("title".to_owned(), "Driftline configuration".into());
        }
        schema
    })
}

/// Takes `null` out everywhere: a key without a value is a slip, not a way to ask for the default.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(forbid_null),
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.shift_remove("default");
            }
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(branches)) = map.get_mut("anyOf") {
                branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
                if let [Value::Object(only)] = branches.as_slice() {
                    let only = only.clone();
                    map.shift_remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            for (key, value) in map.iter_mut() {
                if !matches!(key.as_str(), "default" | "const" | "enum") {
                    forbid_null(value);
                }
            }
        }
        _ => {}
    }
}

/// A schema with its reference followed and its alternatives spread out: what a value may be.
///
/// Keywords beside a `$ref` win over those behind it.
pub(crate) fn alternatives(schema: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    spread(schema, &mut found, 0);
    found
}

/// Deepest chain of references and alternatives; the schema has no cycles, a test would hang if it had.
const SPREAD_MAX: usize = 16;

fn spread(schema: &Value, found: &mut Vec<Value>, depth: usize) {
    let Value::Object(map) = schema else { return };
    if depth > SPREAD_MAX {
        return;
    }
    if let Some(target) = map.get("$ref").and_then(Value::as_str) {
        let mut merged = resolve(target).as_object().cloned().unwrap_or_default();
        for (key, value) in map {
            if key != "$ref" {
                merged.insert(key.clone(), value.clone());
            }
        }
        return spread(&Value::Object(merged), found, depth + 1);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(branches)) = map.get(key) {
            return branches.iter().for_each(|branch| spread(branch, found, depth + 1));
        }
    }
    match map.get("type") {
        Some(Value::Array(types)) => {
            for name in types {
                let mut one = map.clone();
                one.insert("type".to_owned(), name.clone());
                found.push(Value::Object(one));
            }
        }
        _ => found.push(schema.clone()),
    }
}

fn resolve(target: &str) -> &'static Value {
    let definition = target.strip_prefix('#').and_then(|pointer| schema().pointer(pointer));
    definition.unwrap_or(&Value::Null)
}

/// The texts that a value may be, when they are listed.
pub(crate) fn words(schema: &Value) -> Vec<&str> {
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![word];
    }
    schema.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The `type` of a schema without alternatives.
pub(crate) fn type_of(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some(name) => name,
        None if schema.get("const").is_some_and(Value::is_boolean) => "boolean",
        None if !words(schema).is_empty() => "string",
        None => "",
    }
}
