//! Where capture files are: a folder, or a bucket of S3 or what speaks like it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};

/// Tries of one call before the cause is told; the source tries again by itself.
const TRIES: usize = 2;

/// Time for such a call.
const CALL: Duration = Duration::from_secs(30);

/// Where a source reads from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturePlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    S3(BucketSpec),
}

/// A bucket and how it is reached. Credentials come from the environment: `AWS_ACCESS_KEY_ID` and its kin, a web identity,
/// a container's or a machine's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSpec {
    /// Its name.
    pub bucket: String,
    /// What keys begin with; may be empty.
    pub prefix: String,
    /// Its region; else the environment's.
    pub region: Option<String>,
    /// Address of a service other than Amazon's.
    pub endpoint: Option<String>,
}

/// Opens a store: itself, and what all keys of the source begin with.
pub(super) fn open(place: &CapturePlace) -> object_store::Result<(Arc<dyn ObjectStore>, Path)> {
    match place {
        CapturePlace::Folder(folder) => {
            Ok((Arc::new(LocalFileSystem::new()), Path::from_absolute_path(folder)?))
        }
        CapturePlace::S3(spec) => {
            // The first one wins; without any there would be no TLS.
            drop(rustls::crypto::ring::default_provider().install_default());
            let retry =
                RetryConfig { backoff: BackoffConfig::default(), max_retries: TRIES, retry_timeout: CALL };
            let client =
                ClientOptions::new().with_timeout_disabled().with_connect_timeout(Duration::from_secs(5));
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(&spec.bucket)
                .with_retry(retry)
                .with_client_options(client.with_allow_http(true));
            if let Some(region) = &spec.region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = &spec.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            Ok((Arc::new(builder.build()?), Path::parse(&spec.prefix)?))
        }
    }
}

/// What went wrong, in words that hold no credential: what services answer repeats the key's id and what was signed.
pub(super) fn cause(error: &object_store::Error) -> String {
    let whole = chain(error);
    let code =
        whole.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code = code.filter(|code| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric()));
    if let Some(code) = code {
        return match code {
            "NoSuchBucket" => "there is no such bucket (NoSuchBucket)".to_owned(),
            "AccessDenied" => {
                "access is denied (AccessDenied): it takes s3:ListBucket and s3:GetObject".to_owned()
            }
            "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "ExpiredToken" | "InvalidToken" => {
                format!("the credentials are refused ({code})")
            }
            code => format!("the store answers {code}"),
        };
    }
    match error {
        object_store::Error::NotFound { .. } => "it is not there".to_owned(),
        object_store::Error::PermissionDenied { .. } => "access is denied".to_owned(),
        object_store::Error::Unauthenticated { .. } => "the credentials are refused".to_owned(),
        _ if whole.contains("169.254.") => {
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is given"
                .to_owned()
        }
        _ if whole.contains("LOCATION") => "the bucket is in another region: set `region`".to_owned(),
        _ => innermost(error),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// The cause behind all others: what the system or the network said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    let text = last.to_string();
    // A body that somebody answered with is not repeated.
    text.split(['<', '{']).next().unwrap_or_default().chars().take(200).collect()
}
