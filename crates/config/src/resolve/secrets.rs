//! Secrets: given plainly or in a file, never both, never shown.

use crate::raw::Auth;
use crate::resolve::{Context, files};
use crate::settings::Secret;
use crate::text::{FileName, SecretText};
use crate::yaml::Cursor;

/// Largest secret file.
const SECRET_BYTES_MAX: u64 = 8 * 1024;

/// Shorter tokens can be guessed.
const TOKEN_CHARS_MIN: usize = 16;

/// The admin side's bearer token.
pub(crate) fn token(auth: &Auth, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Secret> {
    let (text, at) = match (&auth.token, &auth.token_file) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let message = "`token` and `token_file` are both given";
            context.sink.error_at_key(&at.key("token_file"), message).hint("keep one of the two");
            return None;
        }
        (Some(token), None) => (token.0.clone(), at.key("token")),
        (None, Some(name)) => {
            let at = at.key("token_file");
            (of_file(name, &at, context)?, at)
        }
    };
    checked(text, &at, context)
}

/// A secret, given plainly or in a file.
pub(crate) fn given(
    (text, text_key): (&Option<SecretText>, &str),
    (file, file_key): (&Option<FileName>, &str),
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<String> {
    match (text, file) {
        (Some(_), Some(_)) => {
            let message = format!("`{text_key}` and `{file_key}` are both given");
            context.sink.error_at_key(&at.key(file_key), message).hint("keep one of the two");
            None
        }
        (Some(text), None) => Some(text.0.clone()),
        (None, Some(file)) => of_file(file, &at.key(file_key), context),
        (None, None) => None,
    }
}

/// A secret that stands in a file; the line end is taken off.
pub(crate) fn of_file(name: &FileName, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<String> {
    let path = files::located(name, context);
    match files::read_regular(&path, SECRET_BYTES_MAX) {
        Ok(content) => Some(String::from_utf8_lossy(&content).trim_end_matches(['\r', '\n']).to_owned()),
        Err(problem) => {
            files::report(&problem, &path, at, context);
            None
        }
    }
}

fn checked(text: String, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> Option<Secret> {
    if text.is_empty() {
        context.sink.error(at, "the token is empty").hint("make one: `openssl rand -hex 32`");
        return None;
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        let message = "a token is made of visible ASCII characters, without spaces";
        context.sink.error(at, message).hint("make one: `openssl rand -hex 32`");
        return None;
    }
    if text.len() < TOKEN_CHARS_MIN {
        let message = format!("the token has fewer than {TOKEN_CHARS_MIN} characters and may be guessed");
        context.sink.warning(at, message).hint("make one: `openssl rand -hex 32`");
    }
    Some(Secret::new(text))
}
