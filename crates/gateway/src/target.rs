//! An upstream made ready: address, trust, the header values that every request to it needs.
//!
//! Made when a route table is taken, so that everything that can be wrong is said there; shared by all threads.

use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::error::GatewayError;
use crate::spec::{ListenerTls, Upstream};

/// A compiled upstream. Two route tables with equal upstreams share one, and with it its connections.
#[derive(Debug)]
pub(crate) struct Target {
    /// Where it came from.
    pub(crate) upstream: Upstream,
    /// Host name or address to connect to.
    pub(crate) host: String,
    /// Port to connect to.
    pub(crate) port: u16,
    /// TLS, for `https`.
    pub(crate) tls: Option<UpstreamTls>,
    /// Value of `host`.
    pub(crate) authority: HeaderValue,
    /// Path put before every request's, without its last slash; empty mostly.
    base: String,
}

/// How an upstream is trusted, and what it is offered.
#[derive(Debug)]
pub(crate) struct UpstreamTls {
    /// Offers no protocol: HTTP/1.
    pub(crate) http1: Arc<ClientConfig>,
    /// Offers HTTP/2 before HTTP/1.
    pub(crate) http2: Arc<ClientConfig>,
    /// The name that the certificate must bear.
    pub(crate) name: ServerName<'static>,
}

impl UpstreamTls {
    fn new(upstream: &Upstream, name: ServerName<'static>) -> Result<Self, String> {
        let http1 = client_config(upstream, false).map_err(|e| e.to_string())?;
        let mut http2 = http1.clone();
        http2.alpn_protocols = offers(true);
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2), name })
    }
}

impl Target {
    /// Compiles `upstream`.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub(crate) fn new(upstream: &Upstream) -> Result<Self, String> {
        let url = &upstream.url;
        let https = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("upstream `{url}` is neither http:// nor https://")),
        };
        let authority = url.authority().ok_or_else(|| format!("upstream `{url}` has no host"))?;
        if authority.as_str().contains('@') {
            return Err(format!(
                "upstream at `{}` carries credentials in its url, which are not sent",
                authority.host()
            ));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if https {
            let name = ServerName::try_from(host.clone()).map_err(|e| format!("upstream `{url}`: {e}"))?;
            Some(UpstreamTls::new(upstream, name)?)
        } else {
            None
        };
        let value =
            HeaderValue::from_str(authority.as_str()).map_err(|e| format!("upstream `{url}`: {e}"))?;
        Ok(Self {
            upstream: upstream.clone(),
            host,
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            tls,
            authority: value,
            base: url.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The path and query to ask for, when `path` (with `prefix` taken off its front) was asked of us. `None` when it
    /// is the same.
    pub(crate) fn rewrite(&self, path: &PathAndQuery, prefix: &str) -> Option<PathAndQuery> {
        if self.base.is_empty() && prefix.is_empty() {
            return None;
        }
        let rest = path.as_str().strip_prefix(prefix).unwrap_or(path.as_str());
        let slash = if rest.starts_with('/') { "" } else { "/" };
        // Made of two valid paths, so it is one; if not, the path is forwarded as it came.
        PathAndQuery::try_from(format!("{}{slash}{rest}", self.base)).ok()
    }
}

/// How an upstream is trusted and spoken to over TLS, for those who ask it beside the data plane.
///
/// # Errors
/// A trust file that is not usable.
pub fn upstream_tls(upstream: &Upstream) -> Result<ClientConfig, GatewayError> {
    client_config(upstream, upstream.http2)
}

fn offers(http2: bool) -> Vec<Vec<u8>> {
    if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { Vec::new() }
}

fn client_config(upstream: &Upstream, http2: bool) -> Result<ClientConfig, GatewayError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(file) = &upstream.ca_file {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|e| tls_error(file, &e))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| tls_error(Path::new("tls"), &e))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offers(http2);
    Ok(config)
}

/// The listener's identity.
///
/// # Errors
/// A file that cannot be read, holds no certificate or key, or a key that is not the certificate's.
pub(crate) fn server_config(tls: &ListenerTls) -> Result<Arc<ServerConfig>, GatewayError> {
    let chain = certificates(&tls.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file).map_err(|e| tls_error(&tls.key_file, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| tls_error(&tls.cert_file, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, GatewayError> {
    let parsed = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match parsed {
        Ok(certificates) if certificates.is_empty() => Err(tls_error(file, &"it holds no PEM certificate")),
        Ok(certificates) => Ok(certificates),
        Err(e) => Err(tls_error(file, &e)),
    }
}

fn tls_error(file: &Path, reason: &impl ToString) -> GatewayError {
    GatewayError::Tls { file: file.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn target(url: &str) -> Result<Target, String> {
        let upstream = Upstream {
            url: url.parse().unwrap(),
            http2: false,
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            answer_timeout: Duration::from_secs(1),
            preserve_host: false,
            idle: None,
        };
        Target::new(&upstream)
    }

    #[test]
    fn ports_follow_the_scheme() {
        assert_eq!(target("http://a").unwrap().port, 80);
        assert_eq!(target("https://a").unwrap().port, 443);
        assert_eq!(target("http://[::1]:9").unwrap().host, "::1");
    }

    #[test]
    fn other_schemes_and_credentials_are_refused() {
        assert!(target("ftp://a").unwrap_err().contains("http://"));
        let error = target("http://user:secret@a").unwrap_err();
        assert!(error.contains("credentials") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn base_and_prefix_make_the_path() {
        let path = PathAndQuery::from_static("/fraud/v1?x=1");
        assert!(target("http://a").unwrap().rewrite(&path, "").is_none());
        assert!(target("http://a/").unwrap().rewrite(&path, "").is_none());
        assert_eq!(target("http://a/b/").unwrap().rewrite(&path, "").unwrap(), "/b/fraud/v1?x=1");
        assert_eq!(target("http://a/b").unwrap().rewrite(&path, "/fraud").unwrap(), "/b/v1?x=1");
        assert_eq!(target("http://a").unwrap().rewrite(&path, "/fraud/v1").unwrap(), "/?x=1");
    }
}
