//! What a message must not quote.
//!
//! Secrets get into messages through the quoted line, and most of all when something is wrong: a token under a misspelt
//! key, a password in a URL, a line that is not YAML. So the rule goes by the looks of a key, not by the schema.

use crate::yaml::{Node, Source, Yaml};

/// Parts of key names whose values are never shown.
const SECRET_WORDS: [&str; 10] = [
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "credential",
    "apikey",
    "api_key",
    "api-key",
    // Whoever knows the address of a Slack or Teams webhook may post to it.
    "webhook_url",
];

/// Whether a value under this key is never shown. One or two slips of the pen still count (`tokn`, `pasword`).
fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    if key.ends_with("_file") || key.ends_with("-file") {
        return false;
    }
    // `key` alone is no part of other words' names: `monkey` keeps no secret.
    if key == "key" || key.ends_with("_key") || key.ends_with("-key") {
        return true;
    }
    SECRET_WORDS.iter().any(|word| {
        let slips = if word.len() > 6 { 2 } else { 1 };
        key.contains(word) || strsim::osa_distance(word, &key) <= slips
    })
}

/// Masks a readable text: values under secret keys, user and password of URLs.
pub(crate) fn mask_tree(root: &mut Node, source: &mut Source) {
    walk(root, "", false, source);
}

/// Whether an address under this key of this map may itself be the credential: of a webhook, of a call to anywhere.
fn may_be_credential(parent: &str, key: &str) -> bool {
    key == "url" && matches!(parent, "webhook" | "http")
}

/// `key`: under which the node stands.
fn walk(node: &mut Node, key: &str, is_secret: bool, source: &mut Source) {
    match &mut node.value {
        Yaml::Scalar(scalar) => {
            if is_secret || userinfo(&scalar.text) {
                scalar.secret = true;
                source.mask(node.place.start, node.place.end);
            }
        }
        Yaml::List(items) => {
            for item in items {
                walk(item, key, is_secret, source);
            }
        }
        Yaml::Map(entries) => {
            for entry in entries {
                // A secret may stand right under `auth` by mistake.
                let is_misplaced = entry.key == "auth" && !matches!(entry.value.value, Yaml::Map(_));
                let is_secret = is_secret
                    || is_misplaced
                    || looks_secret(&entry.key)
                    || may_be_credential(key, &entry.key);
                walk(&mut entry.value, &entry.key, is_secret, source);
            }
        }
    }
}

/// Whether a URL carries a user or password.
fn userinfo(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    rest.contains('@')
}

/// Masks a text that may not be YAML: from the first word that looks like a secret's key everything that could be its
/// value, and every line with an `@`.
pub(crate) fn mask_text(source: &mut Source) {
    let mut masked: Vec<(usize, usize)> = Vec::new();
    // Set while following lines may still be the secret's value.
    let mut secret_indent: Option<usize> = None;
    for (start, line) in source.lines() {
        let end = start + line.len();
        let indent = line.iter().take_while(|c| c.is_whitespace()).count();
        if line.contains(&'@') {
            masked.push((start, end));
            continue;
        }
        if let Some(key_indent) = secret_indent {
            if indent > key_indent || indent == line.len() {
                masked.push((start, end));
                continue;
            }
            secret_indent = None;
        }
        if let Some(after) = secret_value(line) {
            masked.push((start + after, end));
            secret_indent = Some(indent);
        }
    }
    for (start, end) in masked {
        source.mask(start, end);
    }
}

/// Where the value of a secret's key starts in a line.
fn secret_value(line: &[char]) -> Option<usize> {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '-';
    let mut word = String::new();
    for (index, c) in line.iter().enumerate() {
        if is_word(c) {
            word.push(*c);
        } else {
            if !word.is_empty() && looks_secret(&word) {
                return Some(index + 1);
            }
            word.clear();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_look_secret() {
        for key in [
            "token",
            "Token",
            "tokn",
            "tokens",
            "slack_token",
            "password",
            "pasword",
            "api_key",
            "Authorization",
            "webhook_url",
            "webhok_url",
        ] {
            assert!(looks_secret(key), "{key}");
        }
        for key in ["token_file", "models", "when", "header", "url", "tenant", "tls"] {
            assert!(!looks_secret(key), "{key}");
        }
    }

    #[test]
    fn text_that_is_not_yaml_is_masked_too() {
        let text =
            "auth:\n  token: [hunter2\n    hunter3\nlisten: x\nurl: http://a:b@c\nx: {tokn: hunter4, y: 1}\n";
        let mut source = Source::new("f", text);
        mask_text(&mut source);
        let shown = source.slice(0, text.len());
        assert!(!shown.contains("hunter") && !shown.contains("a:b"), "{shown}");
        assert!(shown.contains("listen: x"), "{shown}");
    }
}
