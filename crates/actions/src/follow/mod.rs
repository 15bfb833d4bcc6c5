//! Following what somebody else decides: the value of a parameter, a file or an HTTP endpoint.

mod render;

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::actuators::read_parameter;
use crate::aws::{Aws, AwsSpec};
use crate::call::{Call, Failure, Http};
use crate::secret::Secret;

pub use render::{Put, RenderSpec, Renderer};

/// Characters of a value.
const VALUE_MAX: usize = 256;

/// Bytes of a file that are read.
const FILE_MAX: u64 = 4 * 1024;

/// What is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowSpec {
    /// A parameter of AWS Systems Manager.
    Ssm {
        /// Where it is.
        aws: AwsSpec,
        /// Its name.
        parameter: String,
    },
    /// A file's first line.
    File(PathBuf),
    /// The body of an HTTP endpoint's answer.
    Http {
        /// Its address; it may be a secret.
        url: Secret,
        /// Bearer token.
        token: Option<Secret>,
    },
}

#[derive(Debug)]
enum Source {
    Ssm(Aws, String),
    File(PathBuf),
    Http(Http, Secret, Option<Secret>),
}

/// Something that is followed.
#[derive(Debug)]
pub struct Followed {
    source: Source,
    name: String,
}

impl Followed {
    /// Makes it. `timeout`: for one look.
    ///
    /// # Errors
    /// What is missing to make calls.
    pub fn new(spec: &FollowSpec, timeout: Duration, clock: fn() -> i64) -> Result<Self, Failure> {
        let (source, name) = match spec {
            FollowSpec::Ssm { aws, parameter } => (
                Source::Ssm(Aws::ssm(aws, timeout, clock)?, parameter.clone()),
                format!("parameter {parameter}"),
            ),
            FollowSpec::File(path) => (Source::File(path.clone()), format!("file {}", path.display())),
            FollowSpec::Http { url, token } => (
                Source::Http(Http::new(timeout, None)?, url.clone(), token.clone()),
                "HTTP endpoint".to_owned(),
            ),
        };
        Ok(Self { source, name })
    }

    /// What it is, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value now.
    ///
    /// # Errors
    /// It can't be read, or is no value: letters, digits, `_`, `.`, `:`, `/`, `@` and `-`, at most 256.
    pub async fn value(&self) -> Result<String, Failure> {
        let text = match &self.source {
            Source::Ssm(aws, parameter) => read_parameter(aws, parameter)
                .await?
                .map(|(value, _)| value)
                .ok_or_else(|| Failure::later(format!("there is no parameter `{parameter}`")))?,
            Source::File(path) => read(path)?,
            Source::Http(http, url, token) => {
                let mut call = Call::to_secret(Method::GET, url);
                if let Some(token) = token {
                    call = call.bearer(token.expose())?;
                }
                http.send(&call).await?.text()
            }
        };
        checked(&text)
    }
}

fn read(path: &std::path::Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| Failure::later(format!("`{}`: {error}", path.display()));
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(FILE_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A value goes into configurations: whatever could be more than a name or an address is refused.
fn checked(text: &str) -> Result<String, Failure> {
    let value = text.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '@' | '-');
    if value.is_empty() || value.len() > VALUE_MAX || !value.chars().all(allowed) {
        return Err(Failure::later(format!(
            "the value is not 1 to {VALUE_MAX} letters, digits, `_`, `.`, `:`, `/`, `@` and `-`"
        )));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Reply, Server, block_on};

    #[test]
    fn files_and_endpoints() {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("current");
            let seconds = Duration::from_secs(5);
            let file = Followed::new(&FollowSpec::File(path.clone()), seconds, || 0).unwrap();
            assert!(file.value().await.is_err());
            std::fs::write(&path, "v1\nmore\n").unwrap();
            assert_eq!(file.value().await.unwrap(), "v1");
            let replies = vec![
                Reply::new(200, "v2\n"),
                Reply::new(500, ""),
                Reply::new(200, "v1; return 200"),
                Reply::new(200, ""),
            ];
            let server = Server::start(replies).await;
            let spec = FollowSpec::Http {
                url: Secret::new(server.url("/current")),
                token: Some(Secret::new("token")),
            };
            let endpoint = Followed::new(&spec, seconds, || 0).unwrap();
            assert_eq!(endpoint.value().await.unwrap(), "v2");
            assert_eq!(server.next().await.header("authorization"), Some("Bearer token"));
            for what in ["a failure", "more than a name", "nothing"] {
                assert!(endpoint.value().await.is_err(), "{what}");
            }
        });
    }
}
