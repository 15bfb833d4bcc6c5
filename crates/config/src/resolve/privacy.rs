//! Privacy: rules for every model, and a key that is one.

use std::sync::Arc;

use record::{Detectors, PrivacyKey, PrivacySpec};

use crate::raw::{Detector, Privacy};
use crate::resolve::{Context, secrets};
use crate::yaml::Cursor;

/// The rules. A key that is no good is an error: nothing falls back to hashes without one.
pub(crate) fn resolve(raw: &Privacy, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Arc<record::Privacy> {
    let (text, key_at) = match (&raw.key, &raw.key_file) {
        (Some(_), Some(_)) => {
            let message = "`key` and `key_file` are both given";
            context.sink.error_at_key(&at.key("key_file"), message).hint("keep one of the two");
            (None, at.key("key_file"))
        }
        (Some(key), None) => (Some(key.0.clone()), at.key("key")),
        (None, Some(file)) => {
            let at = at.key("key_file");
            (secrets::of_file(file, &at, context), at)
        }
        (None, None) => (None, at.clone()),
    };
    let key = text.as_deref().and_then(|text| {
        let key = PrivacyKey::new(text.as_bytes());
        if key.is_none() {
            let message =
                format!("a key has at least {} bytes that are not all the same", PrivacyKey::BYTES_MIN);
            context.sink.error(&key_at, message).hint("make one: `openssl rand -hex 32`");
        }
        key
    });
    if let Some(field) = raw.fields.iter().find(|field| field.trim_end_matches('*').is_empty()) {
        let shown = if field.is_empty() { "an empty name" } else { "`*`" };
        let message = format!("{shown} is no field: expected a name, or the beginning of names and `*`");
        context.sink.error(&at.key("fields"), message);
    }
    let has = |detector: Detector| raw.detectors.contains(&detector);
    Arc::new(record::Privacy::new(PrivacySpec {
        fields: raw.fields.clone(),
        detectors: Detectors {
            email: has(Detector::Email),
            card: has(Detector::Card),
            phone: has(Detector::Phone),
            ip: has(Detector::Ip),
        },
        key,
        texts: true,
        categories: raw.categories.clone(),
    }))
}
