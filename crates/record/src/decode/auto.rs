//! Which protocol a message is in, and which form its body has.
//!
//! The path speaks first, then the content type, then the body. A path that promises a protocol is held to it.

use super::frames::{self, Frame};
use super::reader::{Kind, Reader};
use super::sink::{Side, Sink};
use super::{DecodeError, DecodeErrorKind, DecoderSpec, Protocol};

type Result<T> = std::result::Result<T, DecodeError>;

/// What the paths of KServe's gRPC calls hold, and how that of an inference ends.
const INFERENCE_SERVICE: &[u8] = b"/inference.GRPCInferenceService/";
const MODEL_INFER: &[u8] = b"/inference.GRPCInferenceService/ModelInfer";

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON whose keys tell which protocol it is.
    Detect,
    KserveV1,
    KserveV2,
    Json,
    JsonLines,
    Csv,
    Openai,
    Grpc,
    /// A table.
    Frame(Frame),
}

/// What a content type says, as far as bodies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Csv,
    JsonLines,
    Json,
    Grpc,
    /// Nothing, or a type that says nothing about the form.
    Any,
    Other,
}

/// Refuses what is no inference: calls of gRPC methods that ask for something else.
pub(crate) fn check_call(configured: Protocol, path: &[u8], content_type: Option<&[u8]>) -> Result<()> {
    let infers = match configured {
        Protocol::Auto => path.ends_with(MODEL_INFER),
        Protocol::KserveV2Grpc => path.ends_with(b"/ModelInfer"),
        _ => return Ok(()),
    };
    let named = || path.windows(INFERENCE_SERVICE.len()).any(|part| part == INFERENCE_SERVICE);
    if infers || (media(content_type) != Media::Grpc && !named()) {
        return Ok(());
    }
    let message = "a gRPC call that is not `ModelInfer`";
    Err(DecodeError::new(DecodeErrorKind::NotInference, message))
}

/// The protocol of a request's path, when the configuration leaves it open.
pub(crate) fn settled(configured: Protocol, path: &[u8]) -> Protocol {
    match configured {
        Protocol::Auto => by_path(path).unwrap_or(Protocol::Auto),
        // What is handed to the container as it is may have any form.
        Protocol::Vertex if path.ends_with(b":rawPredict") => Protocol::Auto,
        fixed => fixed,
    }
}

/// The form of a body, from what is known before it is read.
pub(crate) fn form(protocol: Protocol, content_type: Option<&[u8]>, body: &[u8]) -> Result<Form> {
    Ok(match (protocol, media(content_type)) {
        (Protocol::KserveV1, _) => Form::KserveV1,
        (Protocol::KserveV2, _) => Form::KserveV2,
        (Protocol::Json, _) => Form::Json,
        (Protocol::Openai, _) => Form::Openai,
        (Protocol::KserveV2Grpc, Media::Grpc | Media::Any) => Form::Grpc,
        (Protocol::KserveV2Grpc, _) => {
            let message = "expected the content type `application/grpc`";
            return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
        }
        // Frameworks put their default there (`text/html`), clients the one of another call: the body is right.
        (Protocol::Auto | Protocol::Sagemaker, Media::Csv) if is_surely_json(body) => Form::Detect,
        (Protocol::Sagemaker, Media::Json | Media::Other) if is_surely_csv(body) => Form::Csv,
        (Protocol::Auto | Protocol::Sagemaker | Protocol::Vertex, Media::Csv) => Form::Csv,
        (Protocol::Auto | Protocol::Sagemaker | Protocol::Vertex, Media::JsonLines) => Form::JsonLines,
        (Protocol::Vertex, _) => Form::KserveV1,
        (Protocol::Sagemaker, Media::Any) if !begins_like_json(body) => Form::Csv,
        (Protocol::Sagemaker, Media::Other) if !begins_like_json(body) => {
            let message = "expected the content type of CSV, JSON or JSON lines";
            return Err(DecodeError::new(DecodeErrorKind::Unrecognised, message));
        }
        (Protocol::Auto | Protocol::Sagemaker, _) => Form::Detect,
    })
}

/// By the request's path, without its query.
fn by_path(path: &[u8]) -> Option<Protocol> {
    if path.ends_with(MODEL_INFER) {
        return Some(Protocol::KserveV2Grpc);
    }
    let path = std::str::from_utf8(path).ok()?.trim_end_matches('/');
    let versioned = path.contains("/v1/") || path.contains("/v1beta1/");
    if path.ends_with("/infer") && path.contains("/v2/models/") {
        return Some(Protocol::KserveV2);
    }
    if path.ends_with(":predict") {
        if path.contains("/v1/models/") {
            return Some(Protocol::KserveV1);
        }
        return (versioned || path.contains("/endpoints/")).then_some(Protocol::Vertex);
    }
    if path.ends_with("/invocations") {
        return Some(Protocol::Sagemaker);
    }
    let openai = path.ends_with("/chat/completions")
        || ((versioned || path.contains("/openai/"))
            && ["/completions", "/embeddings", "/messages", "/responses"]
                .iter()
                .any(|end| path.ends_with(end)));
    openai.then_some(Protocol::Openai)
}

/// The media type alone; parameters such as `charset` don't count.
fn media(content_type: Option<&[u8]>) -> Media {
    let Some(content_type) = content_type else {
        return Media::Any;
    };
    let end = content_type.iter().position(|byte| *byte == b';').unwrap_or(content_type.len());
    let essence = content_type.get(..end).unwrap_or_default().trim_ascii();
    let is = |names: &[&str]| names.iter().any(|name| essence.eq_ignore_ascii_case(name.as_bytes()));
    if is(&["text/csv", "application/csv"]) {
        Media::Csv
    } else if is(&[
        "application/jsonlines",
        "application/x-jsonlines",
        "application/jsonl",
        "application/x-ndjson",
        "application/ndjson",
    ]) {
        Media::JsonLines
    } else if is(&["application/json", "text/json"])
        || essence
            .get(essence.len().saturating_sub(5)..)
            .is_some_and(|end| end.eq_ignore_ascii_case(b"+json"))
    {
        Media::Json
    } else if is(&["application/grpc", "application/grpc+proto"]) {
        Media::Grpc
    } else if is(&["", "application/octet-stream", "text/plain", "application/x-www-form-urlencoded"]) {
        Media::Any
    } else {
        Media::Other
    }
}

fn begins_like_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), None | Some(b'{' | b'['))
}

/// A first line with an object, or a list of anything but names.
fn is_surely_json(body: &[u8]) -> bool {
    match body.trim_ascii_start() {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')),
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b']')),
        _ => false,
    }
}

/// Numbers with commas or lines between them and nothing around, which no JSON is.
fn is_surely_csv(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let is_begun = body.first().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'));
    is_begun && body.iter().any(|byte| matches!(byte, b',' | b'\n'))
}

/// By the body's top-level keys: tensors under `inputs` or `outputs` are v2, `instances` or `predictions` v1, messages a chat;
/// then come tables, and all else is plain JSON. `answers` says whether the answer has so many rows.
pub(crate) fn by_body(
    reader: Reader<'_>,
    sink: &mut Sink<'_>,
    spec: &DecoderSpec,
    answers: &dyn Fn(u32) -> bool,
) -> Result<Form> {
    let (side, start) = (sink.side(), reader);
    if let Some(form) = by_protocol_key(reader, side)? {
        return Ok(form);
    }
    let mut reader = start;
    if reader.kind()? != Kind::Object {
        return Ok(Form::Json);
    }
    let rows = (side == Side::Predictions).then(|| sink.request_rows());
    if let Some(frame) = frames::find(start, side, rows)? {
        return Ok(Form::Frame(frame));
    }
    if side == Side::Features
        && let Some(lists) = frames::list_columns(start, spec)?
    {
        // Two lists of one row (embeddings), or two columns: a body that looks the same may be the other one.
        sink.notes.spoil();
        if lists.known || answers(lists.rows) {
            return Ok(Form::Frame(Frame::Columns));
        }
    }
    Ok(Form::Json)
}

/// The protocol whose own keys an object has.
fn by_protocol_key(mut reader: Reader<'_>, side: Side) -> Result<Option<Form>> {
    let (by_row, tensors) = match side {
        Side::Features => ("instances", "inputs"),
        Side::Predictions => ("predictions", "outputs"),
    };
    if reader.kind()? != Kind::Object {
        return Ok(None);
    }
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if *key == *by_row && reader.kind()? == Kind::Array {
            return Ok(Some(Form::KserveV1));
        }
        if *key == *tensors && holds_tensors(reader)? {
            return Ok(Some(Form::KserveV2));
        }
        if side == Side::Features && matches!(&*key, "messages" | "contents") && holds_messages(reader)? {
            return Ok(Some(Form::Openai));
        }
        reader.skip_value()?;
    }
    Ok(None)
}

/// True when an array comes next whose first element is a message of a chat.
fn holds_messages(reader: Reader<'_>) -> Result<bool> {
    begins_with_object(reader, &["role", "content", "parts"])
}

/// True when an array comes next whose first element is an object with `data` or `shape`.
fn holds_tensors(reader: Reader<'_>) -> Result<bool> {
    begins_with_object(reader, &["data", "shape"])
}

/// True when an array comes next whose first element is an object with one of these keys.
fn begins_with_object(mut reader: Reader<'_>, keys: &[&str]) -> Result<bool> {
    if reader.kind()? != Kind::Array {
        return Ok(false);
    }
    let mut first = reader.array()?;
    if !reader.next_element(&mut first)? || reader.kind()? != Kind::Object {
        return Ok(false);
    }
    let mut first = reader.object()?;
    while let Some(key) = reader.next_key(&mut first)? {
        if keys.contains(&&*key) {
            return Ok(true);
        }
        reader.skip_value()?;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_promise_protocols() {
        use Protocol::{Auto, KserveV1, KserveV2, KserveV2Grpc, Openai, Sagemaker, Vertex};
        for (path, protocol) in [
            ("/v2/models/m/infer", KserveV2),
            ("/x/v2/models/m/versions/3/infer", KserveV2),
            ("/inference.GRPCInferenceService/ModelInfer", KserveV2Grpc),
            ("/fraud/inference.GRPCInferenceService/ModelInfer", KserveV2Grpc),
            ("/inference.GRPCInferenceService/ModelReady", Auto),
            ("/v1/models/m:predict", KserveV1),
            ("/v1/projects/p/locations/r/endpoints/7:predict", Vertex),
            ("/endpoints/7:predict", Vertex),
            ("/v1/anything:predict", Vertex),
            ("/v1/projects/p/locations/r/endpoints/7:rawPredict", Auto),
            ("/invocations", Sagemaker),
            ("/endpoints/fraud/invocations", Sagemaker),
            ("/v1/chat/completions", Openai),
            ("/api/v1/completions", Openai),
            ("/v1/chat/completions/", Openai),
            ("/invocations/", Sagemaker),
            ("/v1/embeddings", Openai),
            ("/openai/deployments/d/embeddings", Openai),
            ("/embeddings", Auto),
            ("/completions", Auto),
            ("/m:predict", Auto),
            ("/v1/models/m:explain", Auto),
            ("/score", Auto),
            ("", Auto),
        ] {
            assert_eq!(settled(Auto, path.as_bytes()), protocol, "{path}");
            let fixed = settled(Protocol::Json, path.as_bytes());
            assert_eq!(fixed, Protocol::Json, "{path}");
        }
        assert_eq!(settled(Vertex, b"/endpoints/7:rawPredict"), Auto);
        assert_eq!(settled(Auto, b"\xff/invocations"), Auto);
    }

    #[test]
    fn grpc_calls_are_inferences_or_not() {
        let infer = "/inference.GRPCInferenceService/ModelInfer";
        let grpc = Some(&b"application/grpc"[..]);
        for (configured, path, content_type, passes) in [
            (Protocol::Auto, infer, grpc, true),
            (Protocol::Auto, infer, None, true),
            (Protocol::Auto, "/inference.GRPCInferenceService/ModelReady", grpc, false),
            (Protocol::Auto, "/inference.GRPCInferenceService/ServerLive", None, false),
            (Protocol::Auto, "/other.Service/ModelInfer", grpc, false),
            (Protocol::Auto, "/other.Service/ModelInfer", None, true),
            (Protocol::KserveV2Grpc, "/other.Service/ModelInfer", grpc, true),
            (Protocol::KserveV2Grpc, "/grpc.health.v1.Health/Check", grpc, false),
            (Protocol::KserveV2Grpc, "/score", None, true),
            (Protocol::KserveV2, "/grpc.health.v1.Health/Check", grpc, true),
        ] {
            let checked = check_call(configured, path.as_bytes(), content_type);
            assert_eq!(checked.is_ok(), passes, "{configured} {path}");
            if let Err(error) = checked {
                assert_eq!(error.kind, DecodeErrorKind::NotInference);
            }
        }
    }

    #[test]
    fn content_types_are_compared_without_parameters() {
        for (content_type, expected) in [
            ("text/csv", Media::Csv),
            ("Text/CSV; charset=utf-8", Media::Csv),
            ("text/csv;label_size=0", Media::Csv),
            ("application/jsonlines", Media::JsonLines),
            ("application/x-jsonlines", Media::JsonLines),
            ("application/x-ndjson ; a=b", Media::JsonLines),
            ("application/json", Media::Json),
            ("application/vnd.x+json", Media::Json),
            ("", Media::Any),
            ("application/octet-stream", Media::Any),
            ("application/grpc", Media::Grpc),
            ("Application/gRPC+proto", Media::Grpc),
            ("application/grpc-web", Media::Other),
            ("text/libsvm", Media::Other),
            ("application/x-npy", Media::Other),
        ] {
            assert_eq!(media(Some(content_type.as_bytes())), expected, "{content_type}");
        }
        assert_eq!(media(None), Media::Any);
    }
}
