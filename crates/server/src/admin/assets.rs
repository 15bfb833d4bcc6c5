//! The dashboard's files, part of the program.
//!
//! They are plain ES modules: nothing builds them. Each goes out compressed with a tag of its content, so that a browser
//! asks every time and gets it once.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// One file, and where it is served.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    ready: LazyLock<Ready, fn() -> Ready>,
}

/// What is made once of a file.
struct Ready {
    tag: String,
    gzip: Bytes,
}

impl Ready {
    fn of(bytes: &[u8]) -> Self {
        Self { tag: tag(bytes), gzip: compress(bytes) }
    }
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {{
        const BYTES: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/", $name));
        Asset {
            name: $name,
            content_type: $content_type,
            bytes: BYTES,
            ready: LazyLock::new(|| Ready::of(BYTES)),
        }
    }};
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static ASSETS: [Asset; 20] = [
    asset!("index.html", HTML),
    asset!("style.css", CSS),
    asset!("icon.svg", SVG),
    asset!("app.js", JS),
    asset!("lib/api.js", JS),
    asset!("lib/charts.js", JS),
    asset!("lib/confirm.js", JS),
    asset!("lib/decide.js", JS),
    asset!("lib/dom.js", JS),
    asset!("lib/format.js", JS),
    asset!("lib/live.js", JS),
    asset!("lib/parts.js", JS),
    asset!("lib/place.js", JS),
    asset!("pages/control.js", JS),
    asset!("pages/drift.js", JS),
    asset!("pages/feature.js", JS),
    asset!("pages/lanes.js", JS),
    asset!("pages/overview.js", JS),
    asset!("pages/tenants.js", JS),
    asset!("vendor/echarts.esm.min.mjs", JS),
];

/// `GET /`.
pub(super) async fn index(headers: HeaderMap) -> Response {
    serve("index.html", &headers)
}

/// `GET /ui/{*path}`.
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(&path, &headers)
}

fn serve(path: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == path) else {
        return ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
            .into_response();
    };
    let Ready { tag, gzip } = &*asset.ready;
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let known = text(header::IF_NONE_MATCH).split(',').any(|one| one.trim().trim_start_matches("W/") == *tag);
    let fixed = [
        (header::ETAG, tag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_TYPE, asset.content_type),
    ];
    if known {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    if accepts_gzip(text(header::ACCEPT_ENCODING)) {
        return (fixed, [(header::CONTENT_ENCODING, "gzip")], gzip.clone()).into_response();
    }
    (fixed, Bytes::from_static(asset.bytes)).into_response()
}

fn accepts_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let refused = |weight: &str| weight.trim_start_matches("q=").parse().is_ok_and(|q: f32| q <= 0.0);
        parts.next() == Some("gzip") && !parts.any(refused)
    })
}

fn compress(bytes: &[u8]) -> Bytes {
    // Unoptimised code takes seconds for the best.
    let level = if cfg!(debug_assertions) { Compression::fast() } else { Compression::best() };
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), level);
    let written = encoder.write_all(bytes);
    debug_assert!(written.is_ok(), "invariant: writing to a Vec cannot fail");
    encoder.finish().unwrap_or_default().into()
}

/// A quoted tag: the beginning of the content's hash.
fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::PathBuf;

    use super::*;

    fn files(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("is a folder") {
            let path = entry.expect("can be read").path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }

    #[test]
    fn every_file_of_the_dashboard_is_served() {
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui"));
        let mut found = Vec::new();
        files(&root, &mut found);
        let served = |path: &PathBuf| {
            let name = path.strip_prefix(&root).expect("below it").to_string_lossy().into_owned();
            ASSETS.iter().any(|asset| asset.name == name)
        };
        let is_code = |path: &&PathBuf| {
            path.extension()
                .is_some_and(|end| ["js", "mjs", "css", "html", "svg"].iter().any(|one| end == *one))
        };
        for path in found.iter().filter(is_code) {
            assert!(served(path), "{} is not in the list", path.display());
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let mut asked = HeaderMap::new();
        let first = serve("style.css", &asked);
        assert_eq!((first.status(), first.headers().get(header::CONTENT_ENCODING)), (StatusCode::OK, None));
        let tag = first.headers().get(header::ETAG).expect("is there").clone();
        asked.insert(header::IF_NONE_MATCH, tag);
        assert_eq!(serve("style.css", &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(serve("app.js", &asked).status(), StatusCode::OK);
        for path in ["../Cargo.toml", "", "nothing.js", "/etc/passwd"] {
            assert_eq!(serve(path, &asked).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn compressed_only_for_those_who_can_read_it() {
        for (asked, expected) in [
            ("gzip, br", true),
            ("br;q=1.0, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("", false),
            ("br", false),
        ] {
            assert_eq!(accepts_gzip(asked), expected, "{asked}");
        }
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*compress(b"plain text")).read_to_end(&mut text).expect("is gzip");
        assert_eq!(text, b"plain text");
    }
}
