//! Which protocol a body is in.

use super::reader::{Kind, Reader};
use super::sink::Side;
use super::{DecodeError, Protocol};

type Result<T> = std::result::Result<T, DecodeError>;

/// By the request's path: `…/v2/models/…/infer` and `…/v1/models/…:predict`.
pub(crate) fn by_path(path: &[u8]) -> Option<Protocol> {
    let path = std::str::from_utf8(path).ok()?;
    if path.ends_with("/infer") && path.contains("/v2/models/") {
        return Some(Protocol::KserveV2);
    }
    if path.ends_with(":predict") && path.contains("/v1/models/") {
        return Some(Protocol::KserveV1);
    }
    None
}

/// By the body's top-level keys: tensors under `inputs` or `outputs` are v2, `instances` or `predictions` v1, all else
/// plain JSON.
pub(crate) fn by_body(mut reader: Reader<'_>, side: Side) -> Result<Protocol> {
    let (by_row, tensors) = match side {
        Side::Features => ("instances", "inputs"),
        Side::Predictions => ("predictions", "outputs"),
    };
    if reader.kind()? != Kind::Object {
        return Ok(Protocol::Json);
    }
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if *key == *by_row && reader.kind()? == Kind::Array {
            return Ok(Protocol::KserveV1);
        }
        if *key == *tensors && holds_tensors(reader)? {
            return Ok(Protocol::KserveV2);
        }
        reader.skip_value()?;
    }
    Ok(Protocol::Json)
}

/// True when an array comes next whose first element is an object with `data` or `shape`.
fn holds_tensors(mut reader: Reader<'_>) -> Result<bool> {
    if reader.kind()? != Kind::Array {
        return Ok(false);
    }
    let mut first = reader.array()?;
    if !reader.next_element(&mut first)? || reader.kind()? != Kind::Object {
        return Ok(false);
    }
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if matches!(&*key, "data" | "shape") {
            return Ok(true);
        }
        reader.skip_value()?;
    }
    Ok(false)
}
