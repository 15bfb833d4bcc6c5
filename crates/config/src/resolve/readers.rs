//! Sources that read what others have written: files, captured data.

use std::path::{Component, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use feeds::sources::{BucketSpec, CapturePlace, CaptureSpec, SourceKind, SourceSpec, TailSpec};

use crate::raw::{DataCapture, File, Named, Start, Tail};
use crate::resolve::{Context, files};
use crate::text::FileName;
use crate::yaml::Cursor;

/// How long a file whose name is gone is still looked at: a writer may not have noticed yet.
const LINGER: Duration = Duration::from_secs(30);

/// Files of JSON lines.
pub(crate) fn tail(raw: &Tail, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> TailSpec {
    let paths_at = at.key("paths");
    let mut paths = Vec::new();
    for (index, name) in raw.paths.iter().enumerate() {
        match TailSpec::pattern(context.base_dir, &name.0) {
            Ok(pattern) => paths.push(pattern),
            Err(problem) => {
                context.sink.error(&paths_at.item(index), problem);
            }
        }
    }
    TailSpec {
        paths,
        format: raw.format.into(),
        from_beginning: raw.start == Start::Beginning,
        poll: raw.poll.0,
        follow: raw.follow,
        linger: LINGER,
    }
}

/// Reading what it writes itself, an instance would never come to an end.
pub(crate) fn check_own_logs(
    sources: &[SourceSpec],
    file: &File,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) {
    let Some(logs) = file.logs.files.as_ref() else { return };
    let folder = files::located(&logs.path, context);
    for source in sources {
        if let SourceKind::Tail(spec) = &source.kind
            && spec.reads_the_log_in(&folder)
        {
            let message = "this source reads the inference log that this instance writes (`logs.files`)";
            let at = at.key(&source.name).key("tail").key("paths");
            context.sink.error(&at, message).hint("read it with another instance, or write it elsewhere");
        }
    }
}

/// Captured data.
pub(crate) fn capture(raw: &DataCapture, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> CaptureSpec {
    let place = match (&raw.s3, &raw.folder) {
        (Some(url), None) => bucket(url, raw, at, context).map(CapturePlace::S3),
        (None, Some(name)) => Some(CapturePlace::Folder(folder(name, at, context))),
        _ => {
            let message = "captured data is in a bucket or in a folder";
            context.sink.error(at, message).hint("give it one of the keys `s3`, `folder`");
            None
        }
    };
    let versions = raw.versions.iter().flat_map(Named::iter);
    CaptureSpec {
        // Not used: there is an error.
        place: place.unwrap_or(CapturePlace::Folder(PathBuf::new())),
        versions: versions
            .map(|(variant, version)| (variant.to_owned(), Arc::from(version.0.as_str())))
            .collect(),
        shadow: raw.shadow.clone(),
        tenant_attribute: raw.tenant_attribute.clone(),
        since: raw.since.map(|since| since.0),
        poll: raw.poll.0,
        follow: raw.follow,
    }
}

fn folder(name: &FileName, at: &Cursor<'_>, context: &mut Context<'_, '_>) -> PathBuf {
    let path = files::located(name, context);
    match std::path::absolute(&path) {
        // Names of variants are read from the path, which must not hold `..`.
        Ok(path) if !path.components().any(|part| part == Component::ParentDir) => path,
        _ => {
            context.sink.error(&at.key("folder"), "expected a folder without `..`");
            path
        }
    }
}

fn bucket(
    url: &str,
    raw: &DataCapture,
    at: &Cursor<'_>,
    context: &mut Context<'_, '_>,
) -> Option<BucketSpec> {
    let path = url.strip_prefix("s3://").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let is_bucket = |name: &&str| (3..=63).contains(&name.len()) && name.chars().all(allowed);
    let Some((bucket, prefix)) = path.filter(|(bucket, _)| is_bucket(bucket)) else {
        let message = "expected the address of a bucket";
        context.sink.error(&at.key("s3"), message).hint("write `s3://BUCKET/PREFIX`");
        return None;
    };
    let endpoint = raw.endpoint.as_ref().map(|url| &url.0);
    let is_open = endpoint.is_some_and(|uri| {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_local =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        uri.scheme_str() == Some("http") && !is_local
    });
    if is_open && !raw.allow_http {
        let message = "what is read from this address is not encrypted";
        context.sink.error(&at.key("endpoint"), message).hint("use `https`, or set `allow_http: true`");
    }
    Some(BucketSpec {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_end_matches('/').to_owned(),
        region: raw.region.as_ref().map(|name| name.0.clone()),
        endpoint: endpoint.map(|uri| uri.to_string().trim_end_matches('/').to_owned()),
    })
}
