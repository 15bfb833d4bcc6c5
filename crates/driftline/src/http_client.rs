//! A small HTTP client for the commands that talk to a server: one request, one whole answer.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Keeps connections open between requests.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// A field of the trailers, or of the head when the answer has nothing else.
    pub(crate) fn grpc_field(&self, name: &str) -> Option<&str> {
        let value = self.trailers.as_ref().and_then(|fields| fields.get(name));
        value.or_else(|| self.headers.get(name))?.to_str().ok()
    }

    /// The HTTP status that a gRPC answer's own status stands for.
    pub(crate) fn grpc_status(&self) -> u16 {
        let ended = self.trailers.as_ref().unwrap_or(&self.headers);
        gateway::status_of_grpc(self.status.as_u16(), ended)
    }
}

impl HttpClient {
    /// `timeout` is for a request with its whole answer.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self::with(timeout, false)
    }

    /// The same over HTTP/2, with prior knowledge.
    pub(crate) fn http2(timeout: Duration) -> Self {
        Self::with(timeout, true)
    }

    fn with(timeout: Duration, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        Self { client: Client::builder(TokioExecutor::new()).http2_only(http2).build(connector), timeout }
    }

    /// Sends one request. Headers with names or values that HTTP does not allow are an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Uri,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url.clone());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).with_context(|| format!("request to `{url}`"))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("answer broken off: {error}"))?;
            let trailers = body.trailers().cloned();
            let (status, headers) = (head.status, head.headers);
            anyhow::Ok(Answer { status, body: body.to_bytes(), headers, trailers })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer.with_context(|| format!("no answer from `{url}`; is it running there?")),
            Err(_) => bail!("no whole answer from `{url}` within {:?}", self.timeout),
        }
    }
}

/// Parses an `http://` URL for [`HttpClient`].
pub(crate) fn parse_url(text: &str) -> anyhow::Result<Uri> {
    let url: Uri = text.parse().with_context(|| format!("`{text}` is not a URL"))?;
    match (url.scheme_str(), url.authority()) {
        (Some("http"), Some(_)) => Ok(url),
        (Some(scheme), Some(_)) => bail!("`{text}`: the scheme `{scheme}` is not spoken here; use http://"),
        _ => bail!("`{text}` is not a whole URL; write it as http://HOST:PORT/PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_url;

    #[test]
    fn only_whole_http_urls() {
        assert!(parse_url("http://127.0.0.1:9464").is_ok());
        for bad in ["127.0.0.1:9464", "https://x", "/path", "", "ftp://x", "http://"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
