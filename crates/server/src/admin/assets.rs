//! The dashboard's files, part of the program.
//!
//! They are plain ES modules: the build script compresses them and lists them in the page. Each goes out with a tag of its
//! content, so that a browser asks every time and gets it once.

use std::io::Read as _;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// Name, content type and compressed content of each file.
static EMBEDDED: &[(&str, &str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// One file, and where it is served.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    gzip: &'static [u8],
    tag: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |&(name, content_type, gzip)| Asset { name, content_type, gzip, tag: tag(gzip) };
    EMBEDDED.iter().map(asset).collect()
});

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
    let Asset { tag, gzip, .. } = asset;
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
        return (fixed, [(header::CONTENT_ENCODING, "gzip")], Bytes::from_static(gzip)).into_response();
    }
    // Every browser reads gzip: this is for people with simpler tools.
    (fixed, plain(gzip)).into_response()
}

fn accepts_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let refused = |weight: &str| weight.trim_start_matches("q=").parse().is_ok_and(|q: f32| q <= 0.0);
        parts.next() == Some("gzip") && !parts.any(refused)
    })
}

fn plain(gzip: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(gzip).read_to_end(&mut bytes);
    debug_assert!(read.is_ok(), "invariant: the build script wrote whole files");
    bytes.into()
}

/// A quoted tag: the beginning of the content's hash.
fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> String {
        let asset =
            ASSETS.iter().find(|asset| asset.name == name).unwrap_or_else(|| panic!("{name} is served"));
        String::from_utf8(plain(asset.gzip).to_vec()).expect("is text")
    }

    #[test]
    fn the_page_names_every_module_once_and_nothing_that_is_not_served() {
        let page = text("index.html");
        let named: Vec<&str> = page
            .split("rel=\"modulepreload\" href=\"/ui/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut modules: Vec<&str> =
            ASSETS.iter().map(|asset| asset.name).filter(|name| name.ends_with("js")).collect();
        assert!(modules.contains(&"app.js") && modules.contains(&"pages/overview.js"), "{modules:?}");
        assert_eq!(named.first(), Some(&"vendor/echarts.mjs"), "what takes longest begins first");
        let mut sorted = named.clone();
        sorted.sort_unstable();
        modules.sort_unstable();
        assert_eq!(sorted, modules);
    }

    #[test]
    fn files_are_served_as_they_are_in_the_folder() {
        for name in ["style.css", "lib/dom.js", "vendor/echarts.mjs"] {
            let path = format!("{}/../../ui/{name}", env!("CARGO_MANIFEST_DIR"));
            assert!(text(name) == std::fs::read_to_string(path).expect("can be read"), "{name}");
        }
        assert!(!ASSETS.iter().any(|asset| asset.name.contains("LICENSE") || asset.name.ends_with(".mts")));
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
    }
}
