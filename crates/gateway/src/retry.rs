//! Which requests may be sent a second time.
//!
//! A server that closes an idle connection and a request that is on its way to it cross each other: the request is lost
//! although nothing is wrong. It can be sent again on a new connection, if acting twice on it does no harm.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::grpc;
use crate::spec::Retry;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request's head, kept until its answer begins.
#[derive(Debug)]
pub(crate) struct SpareHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// The same, packed: a copy of the fields' map costs three times as much, and nearly none is ever needed. The buffer is used
/// for one request after the other.
#[derive(Debug)]
pub(crate) struct PackedHead {
    method: Method,
    uri: Uri,
    /// For each field the lengths of its name and its value, and both.
    fields: Vec<u8>,
}

/// Bytes of the two lengths.
const LENGTHS: usize = 8;

impl PackedHead {
    /// Packs a head into a buffer.
    pub(crate) fn new<B>(request: &Request<B>, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        for (name, value) in request.headers() {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            for length in [name.len(), value.len()] {
                // Heads are limited to a megabyte.
                buffer.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
            }
            buffer.extend_from_slice(name);
            buffer.extend_from_slice(value);
        }
        Self { method: request.method().clone(), uri: request.uri().clone(), fields: buffer }
    }

    /// The buffer, for the next.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.fields
    }

    /// The head as it was; `None` if it cannot be read, which nothing packed here is.
    pub(crate) fn unpack(self) -> Option<SpareHead> {
        let mut headers = HeaderMap::new();
        let mut rest = &*self.fields;
        while let Some((lengths, fields)) = rest.split_at_checked(LENGTHS) {
            let length = |at: usize| {
                u32::from_le_bytes([lengths[at], lengths[at + 1], lengths[at + 2], lengths[at + 3]])
            };
            let (name, fields) = fields.split_at_checked(usize::try_from(length(0)).ok()?)?;
            let (value, fields) = fields.split_at_checked(usize::try_from(length(4)).ok()?)?;
            headers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
            rest = fields;
        }
        Some(SpareHead { method: self.method, uri: self.uri, headers })
    }
}

/// What a pool needs of a request to send it again.
pub(crate) trait Resend<B> {
    /// Whether the head is worth keeping. Asked for every request on a reused connection.
    fn is_wanted(&self) -> bool;

    /// The body once more, from its first byte. `None` when it is not kept, or the request must not be sent twice.
    fn body(&self, head: &SpareHead) -> Option<B>;
}

impl Retry {
    /// Whether a request may be sent twice.
    pub(crate) fn allows(self, head: &SpareHead) -> bool {
        match self {
            Self::Never => false,
            Self::Idempotent => is_idempotent(head),
            Self::Inference => is_idempotent(head) || is_inference(head),
        }
    }
}

/// By its method (RFC 9110, section 9.2.2), or because the client says so.
fn is_idempotent(head: &SpareHead) -> bool {
    matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
        || head.headers.contains_key(IDEMPOTENCY_KEY)
}

/// Data for a model, as far as head and path tell: a `POST` of a media type that carries features, to a path that manages
/// nothing. Forms and uploads are left out: they belong to pages and to stores of files.
fn is_inference(head: &SpareHead) -> bool {
    head.method == Method::POST
        && !manages(head.uri.path())
        && (grpc::is_grpc(&head.headers) || carries_features(head.headers.get(CONTENT_TYPE)))
}

fn carries_features(content_type: Option<&HeaderValue>) -> bool {
    // Clients that name no type send JSON or CSV.
    let Some(value) = content_type else { return true };
    let Ok(text) = value.to_str() else { return false };
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    match kind {
        "text" => subtype != "html",
        "image" | "audio" | "video" => true,
        "application" => subtype != "x-www-form-urlencoded",
        _ => false,
    }
}

/// Whether a path is known for keeping something: repositories of models, files, jobs, conversations.
fn manages(path: &str) -> bool {
    const SEGMENTS: [&str; 21] = [
        "repository",
        "files",
        "uploads",
        "fine_tuning",
        "fine-tunes",
        "batches",
        "assistants",
        "threads",
        "conversations",
        "vector_stores",
        "containers",
        "evals",
        "load",
        "unload",
        "reload",
        "register",
        "feedback",
        "jobs",
        "admin",
        "systemsharedmemory",
        "cudasharedmemory",
    ];
    path.split('/').any(|segment| SEGMENTS.iter().any(|known| segment.eq_ignore_ascii_case(known)))
        || path.ends_with("/RepositoryModelLoad")
        || path.ends_with("/RepositoryModelUnload")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> SpareHead {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        SpareHead { method, uri: path.parse().unwrap(), headers }
    }

    #[test]
    fn a_packed_head_is_the_same_afterwards() {
        let mut request = Request::put("/a?b=c").header("x-a", "1").header("x-empty", "").body(()).unwrap();
        request.headers_mut().append("x-a", HeaderValue::from_bytes(b"\xff\t2").unwrap());
        let packed = PackedHead::new(&request, b"of another request".to_vec());
        let head = packed.unpack().unwrap();
        assert_eq!(
            (&head.method, &head.uri, &head.headers),
            (request.method(), request.uri(), request.headers())
        );
        let empty = PackedHead::new(&Request::new(()), Vec::new()).unpack().unwrap();
        assert!(empty.headers.is_empty());
    }

    #[test]
    fn methods_without_a_second_effect_are_idempotent() {
        for (method, expected) in [
            (Method::GET, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
        ] {
            let head = head(method.clone(), "/x", &[("content-type", "application/json")]);
            assert_eq!(Retry::Idempotent.allows(&head), expected, "{method}");
            assert!(!Retry::Never.allows(&head));
        }
        let keyed = head(Method::POST, "/x", &[("idempotency-key", "7")]);
        assert!(Retry::Idempotent.allows(&keyed));
    }

    #[test]
    fn inferences_are_posts_of_data_to_paths_that_manage_nothing() {
        let json: &[_] = &[("content-type", "application/json; charset=utf-8")];
        for path in [
            "/",
            "/predict",
            "/v1/models/fraud:predict",
            "/v2/models/fraud/versions/1/infer",
            "/invocations",
            "/v1/chat/completions",
            "/v1/responses",
            "/api/generate",
        ] {
            assert!(Retry::Inference.allows(&head(Method::POST, path, json)), "{path}");
            assert!(!Retry::Idempotent.allows(&head(Method::POST, path, json)), "{path}");
        }
        for path in [
            "/v2/repository/models/fraud/load",
            "/v1/files",
            "/v1/fine_tuning/jobs",
            "/v1/threads/t/runs",
            "/inference.GRPCInferenceService/RepositoryModelLoad",
        ] {
            assert!(!Retry::Inference.allows(&head(Method::POST, path, json)), "{path}");
        }
        assert!(!Retry::Inference.allows(&head(Method::PATCH, "/predict", json)));
    }

    #[test]
    fn forms_and_uploads_are_no_inferences() {
        for (content_type, expected) in [
            ("text/csv", true),
            ("application/octet-stream", true),
            ("application/x-npy", true),
            ("application/grpc+proto", true),
            ("image/png", true),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("text/html", false),
            ("nonsense", false),
        ] {
            let head = head(Method::POST, "/predict", &[("content-type", content_type)]);
            assert_eq!(Retry::Inference.allows(&head), expected, "{content_type}");
        }
        assert!(Retry::Inference.allows(&head(Method::POST, "/predict", &[])));
    }
}
