//! Belongs here: Kafka over TLS, in builds that have it (`--features kafka-tls`), against a real broker behind a TLS end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::support::fraud::Pair;
use crate::support::instance::{Folder, Instance};
use crate::support::kafka::{Broker, Sent};
use crate::support::rows::{self, ordinary};
use crate::support::{DEADLINE, await_until, driftline};

/// Where the broker itself listens, without TLS, and tells clients that it does; the TLS end has its port on [`FRONT`].
const BEHIND: &str = "127.0.0.2";
const FRONT: &str = "127.0.0.1";

/// The number of the request that carries a password, and its end when the password is the right one.
const SASL_AUTHENTICATE: u16 = 36;
const CREDENTIALS: &[u8] = b"\0driftline\0one-that-is-right";

/// A self-signed certificate and its key.
struct Identity {
    cert: PathBuf,
    key: PathBuf,
}

impl Identity {
    fn new(folder: &Path, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec![FRONT.to_owned()]).unwrap();
        let [cert, key] = ["crt", "key"].map(|end| folder.join(format!("{name}.{end}")));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self { cert, key }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.cert).unwrap()
    }
}

/// A broker that is reached over TLS.
struct Secured {
    broker: Broker,
    folder: Folder,
    server: Identity,
    client: Identity,
    _runtime: Runtime,
}

impl Secured {
    /// With `mutual`, only clients with our client's certificate are served.
    fn start(mutual: bool) -> Option<Self> {
        let mut broker = Broker::prepare_at(BEHIND)?;
        broker.up();
        broker.topic("scored", 1);
        let folder = Folder::new();
        let (server, client) =
            (Identity::new(folder.path(), "server"), Identity::new(folder.path(), "client"));
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if mutual {
            let mut known = RootCertStore::empty();
            known.add(client.certificate()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider);
            config.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(&server.key).unwrap();
        let config = config.with_single_cert(vec![server.certificate()], key).unwrap();
        let behind: SocketAddr = broker.address().parse().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((FRONT, behind.port()))).unwrap();
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), behind));
        Some(Self { broker, folder, server, client, _runtime: runtime })
    }

    fn address(&self) -> String {
        format!("{FRONT}:{}", self.broker.address().rsplit(':').next().unwrap())
    }

    fn source(&self, more: &str) -> String {
        format!(
            "models: {{ fraud: {{}} }}\nsources:\n  events:\n    version: v7\n    kafka:\n      brokers: ['{}']\n      topics: [scored]\n      group: driftline\n      start: earliest\n      {more}\n      settings: {{ reconnect.backoff.max.ms: 300 }}\n",
            self.address()
        )
    }

    fn send(&self, n: usize) {
        let record = |n: usize| {
            let value = json!({ "request_id": format!("r-{n}"), "features": { "amount": n } });
            Sent { value: Some(value.to_string()), ..Sent::default() }
        };
        self.broker.send("scored", "none", &(0..n).map(record).collect::<Vec<_>>());
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(client) = acceptor.accept(client).await else { return };
            let Ok(broker) = TcpStream::connect(behind).await else { return };
            let (mut from_client, mut to_client) = tokio::io::split(client);
            let (mut from_broker, mut to_broker) = broker.into_split();
            let asked = pass(&mut from_client, &mut to_broker, |request| {
                // This broker takes every password.
                !request.starts_with(&SASL_AUTHENTICATE.to_be_bytes()) || request.ends_with(CREDENTIALS)
            });
            // Answers name the broker's address: clients have to come back to this one.
            let answered = pass(&mut from_broker, &mut to_client, |answer| {
                redirect(answer);
                true
            });
            tokio::select! {
                () = asked => {}
                () = answered => {}
            }
        });
    }
}

/// Passes messages on, one after the other, as long as `look` lets them through.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    look: impl Fn(&mut [u8]) -> bool,
) {
    while let Ok(length) = from.read_u32().await {
        let mut message = vec![0; length as usize];
        if from.read_exact(&mut message).await.is_err() || !look(&mut message) {
            return;
        }
        let whole = [&length.to_be_bytes(), &*message].concat();
        if to.write_all(&whole).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

/// Both addresses are of one length, so that nothing else in an answer changes.
fn redirect(answer: &mut [u8]) {
    let (behind, front) = (BEHIND.as_bytes(), FRONT.as_bytes());
    for at in 0..answer.len().saturating_sub(behind.len() - 1) {
        if answer[at..].starts_with(behind) {
            answer[at..at + front.len()].copy_from_slice(front);
        }
    }
}

fn counted(instance: &Instance) -> f64 {
    let labels = [("source", "events"), ("kind", "kafka"), ("result", "counted")];
    instance.metrics().value("driftline_source_records_total", &labels).unwrap_or_default()
}

#[test]
fn topics_are_read_and_written_with_a_certificate_of_our_own() {
    let Some(secured) = Secured::start(true) else { return };
    secured.send(40);
    let Identity { cert, key } = &secured.client;
    let tls = format!(
        "{{ ca_file: {}, cert_file: {}, key_file: {} }}",
        secured.server.cert.display(),
        cert.display(),
        key.display()
    );
    let instance = Instance::observe(&secured.folder, &secured.source(&format!("tls: {tls}")));
    await_until("all are counted", DEADLINE, || counted(&instance) == 40.0);
    drop(instance);

    secured.broker.topic("log", 1);
    let (models, folder) = (Pair::start(), Folder::new());
    let logs = format!(
        "logs:\n  kafka: {{ brokers: ['{}'], topic: log, batch_every: 10ms, tls: {tls} }}\n",
        secured.address()
    );
    let gateway = Instance::start(&folder, &models.yaml("", &logs));
    let mut client = gateway.client();
    for n in 0..20 {
        assert_eq!(rows::infer(&mut client, Some("acme"), &[ordinary(n)]).status(), 200);
    }
    let written = [("sink", "kafka"), ("result", "written")];
    await_until("all is written", DEADLINE, || {
        gateway.metrics().value("driftline_log_records_total", &written) == Some(20.0)
    });
    assert_eq!(secured.broker.stored("log").len(), 20);
}

#[test]
fn who_cannot_show_who_they_are_is_refused() {
    let Some(secured) = Secured::start(true) else { return };
    secured.send(1);
    let tls = format!("tls: {{ ca_file: {} }}", secured.server.cert.display());
    let instance = Instance::observe(&secured.folder, &secured.source(&tls));
    await_until("it says why", DEADLINE, || instance.log().contains("certificate required"));
    assert_eq!(counted(&instance), 0.0);
}

#[test]
fn authorities_are_those_of_the_system_or_of_the_environment() {
    let Some(secured) = Secured::start(false) else { return };
    secured.send(10);
    // No authority of this system has signed it.
    let instance = Instance::observe(&secured.folder, &secured.source("tls: {}"));
    await_until("it says why", DEADLINE, || instance.log().contains("certificate verify failed"));
    assert_eq!(counted(&instance), 0.0);
    drop(instance);
    let mut command = driftline(secured.folder.path());
    command.env("SSL_CERT_FILE", &secured.server.cert).arg("observe").stdout(std::process::Stdio::null());
    let instance = Instance::spawn(&mut command);
    await_until("all are counted", DEADLINE, || counted(&instance) == 10.0);
}

#[test]
fn a_password_goes_through_tls() {
    let Some(secured) = Secured::start(false) else { return };
    secured.send(10);
    let with = |password: &str| {
        let sasl = format!("sasl: {{ mechanism: plain, username: driftline, password: {password} }}");
        secured.source(&format!("tls: {{ ca_file: {} }}\n      {sasl}", secured.server.cert.display()))
    };
    let instance = Instance::observe(&secured.folder, &with("one-that-is-wrong"));
    await_until("it says so", DEADLINE, || instance.log().contains("SASL authentication error"));
    assert_eq!(counted(&instance), 0.0);
    drop(instance);
    let instance = Instance::observe(&secured.folder, &with("one-that-is-right"));
    await_until("all are counted", DEADLINE, || counted(&instance) == 10.0);
    assert!(!instance.log().contains("one-that-is"), "{}", instance.log());
}
