//! A map whose entries keep the order in which they were written.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Kind of a map's keys, for the schema.
pub(crate) trait KeyKind {
    /// The `x-kind` of the keys, if they have one.
    const KIND: Option<&'static str>;
    /// The fewest entries.
    const ENTRIES_MIN: usize = 0;
}

/// Model and version names; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Names;

impl KeyKind for Names {
    const KIND: Option<&'static str> = Some("name");
    const ENTRIES_MIN: usize = 1;
}

/// Names of sources.
#[derive(Clone, Debug)]
pub(crate) struct SourceNames;

impl KeyKind for SourceNames {
    const KIND: Option<&'static str> = Some("name");
}

/// Names that the user chooses: notifiers, actuators, trainers.
#[derive(Clone, Debug)]
pub(crate) struct OwnNames;

impl KeyKind for OwnNames {
    const KIND: Option<&'static str> = Some("name");
}

/// Alert names.
#[derive(Clone, Debug)]
pub(crate) struct Rules;

impl KeyKind for Rules {
    const KIND: Option<&'static str> = Some("rule");
}

/// Header names; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Headers;

impl KeyKind for Headers {
    const KIND: Option<&'static str> = Some("header");
    const ENTRIES_MIN: usize = 1;
}

/// Any text; at least one.
#[derive(Clone, Debug)]
pub(crate) struct AnyText;

impl KeyKind for AnyText {
    const KIND: Option<&'static str> = None;
    const ENTRIES_MIN: usize = 1;
}

/// Values by name, in the order written.
#[derive(Clone, Debug)]
pub(crate) struct Named<K, V> {
    entries: Vec<(String, V)>,
    kind: PhantomData<K>,
}

impl<K, V> Default for Named<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), kind: PhantomData }
    }
}

impl<K, V> Named<K, V> {
    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Place of a name in the order.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.entries.iter().position(|(known, _)| known == name)
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl<'de, K, V: Deserialize<'de>> Deserialize<'de> for Named<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Named<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named { entries, kind: PhantomData })
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<K: KeyKind, V: JsonSchema> JsonSchema for Named<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<V>(),
        });
        if let Some(kind) = K::KIND {
            schema.insert("propertyNames".to_owned(), serde_json::json!({ "x-kind": kind }));
        }
        if K::ENTRIES_MIN > 0 {
            schema.insert("minProperties".to_owned(), K::ENTRIES_MIN.into());
        }
        schema
    }
}
