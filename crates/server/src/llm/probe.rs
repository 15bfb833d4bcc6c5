//! Embeddings for probes and jobs: from the cache where it has them, bought once from the active version where not.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderValue, StatusCode, header};
use bytes::Bytes;
use embeddings::{Session, Step};
use gateway::Upstream;
use reqwest::Client;

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 << 20;

/// Clients kept; with more upstreams than that they are made anew.
const CLIENTS: usize = 64;

/// Purchases of one call: each follows a wait for others whose purchase failed.
const MAX_STEPS: usize = 16;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// TLS cannot be set up.
    #[error("the version's upstream cannot be used: {0}")]
    Upstream(String),
    /// No connection, or one that broke.
    #[error("the version gave no whole answer: {0}; look whether it runs and can be reached from here")]
    Broken(String),
    /// Not in time.
    #[error("the version gave no answer within its `timeout`")]
    Late,
    /// Over the limit.
    #[error("the version's answer is longer than {ANSWER_BYTES} bytes")]
    TooLong,
    /// Others who were buying the same failed again and again.
    #[error("the version failed others who asked the same; try again")]
    Failing,
}

/// An answer: the vendor's own when it is an error.
#[derive(Debug)]
pub(crate) struct ProbeAnswer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Connections to upstreams, for as long as those stay the same.
#[derive(Debug, Default)]
pub(crate) struct Buyer(Mutex<Vec<(Upstream, Client)>>);

impl Buyer {
    /// Follows a session to its answer.
    pub(crate) async fn buy(
        &self,
        mut session: Session,
        upstream: &Upstream,
        authorization: Option<&HeaderValue>,
    ) -> Result<ProbeAnswer, ProbeError> {
        let following = async {
            for _ in 0..MAX_STEPS {
                match session.next().await {
                    Step::Known(body) => return Ok(ProbeAnswer { status: StatusCode::OK, body }),
                    Step::Send(body) => {
                        let answer = self.send(upstream, authorization, body).await?;
                        if !session.answered(answer.status.as_u16(), &answer.body) {
                            return Ok(answer);
                        }
                    }
                }
            }
            Err(ProbeError::Failing)
        };
        tokio::time::timeout(upstream.answer_timeout, following).await.unwrap_or(Err(ProbeError::Late))
    }

    async fn send(
        &self,
        upstream: &Upstream,
        authorization: Option<&HeaderValue>,
        body: Bytes,
    ) -> Result<ProbeAnswer, ProbeError> {
        // The address is the operator's and may hold what is nobody else's business.
        let broken = |error: reqwest::Error| ProbeError::Broken(error.without_url().to_string());
        let mut request = self.client(upstream)?.post(address(upstream)).body(body);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut response = request.send().await.map_err(broken)?;
        let status = response.status();
        let mut whole = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(broken)? {
            if whole.len() + piece.len() > ANSWER_BYTES {
                return Err(ProbeError::TooLong);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(ProbeAnswer { status, body: whole.into() })
    }

    fn client(&self, upstream: &Upstream) -> Result<Client, ProbeError> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| known == upstream) {
            return Ok(client.clone());
        }
        let tls = gateway::upstream_tls(upstream).map_err(|error| ProbeError::Upstream(error.to_string()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(upstream.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| ProbeError::Upstream(error.to_string()))?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.push((upstream.clone(), client.clone()));
        Ok(client)
    }
}

/// `/v1/embeddings` behind the upstream's base path, whose own `/v1` is not doubled.
fn address(upstream: &Upstream) -> String {
    let url = &upstream.url;
    let base = url.path().trim_end_matches('/');
    let path = if base.ends_with("/v1") { "/embeddings" } else { "/v1/embeddings" };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}{base}{path}", url.scheme_str().unwrap_or("http"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_base_path_is_kept() {
        let of = |url: &str| {
            address(&Upstream {
                url: url.parse().unwrap(),
                http2: false,
                ca_file: None,
                connect_timeout: Duration::from_secs(1),
                answer_timeout: Duration::from_secs(1),
                preserve_host: false,
                idle: None,
            })
        };
        assert_eq!(of("http://a:1"), "http://a:1/v1/embeddings");
        assert_eq!(of("https://a/x/"), "https://a/x/v1/embeddings");
        assert_eq!(of("https://a/v1"), "https://a/v1/embeddings");
    }
}
