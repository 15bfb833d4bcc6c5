//! HTTP/2 and TLS, in and out.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gateway::{Gateway, ListenerTls, NoTap};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::client::{Client, get, post};
use crate::support::origin::{Origin, ok};
use crate::support::{DEADLINE, config, route, shadowed, start, start_with, table, version};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

type Http2 = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2_client(address: SocketAddr) -> Http2 {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn http2_request(path: &str, body: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://t{path}");
    Request::post(uri).header("te", "trailers").body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// An HTTP/2 origin by prior knowledge: echoes the body, says the version it saw, ends with a trailer.
fn http2_origin(runtime: &tokio::runtime::Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        assert_eq!(parts.version, Version::HTTP_2);
        assert!(parts.headers.get("host").is_none());
        let authority = parts.uri.authority().unwrap().to_string();
        let body = body.collect().await.unwrap().to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-trailer", "end".parse().unwrap());
        let frames: [Result<_, Infallible>; 2] = [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(Frames(frames.into_iter()));
        Ok::<_, Infallible>(Response::builder().header("x-authority", authority).body(body).unwrap())
    };
    runtime.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(answer);
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    address
}

/// An iterator as a stream.
struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

#[test]
fn http2_in_is_http1_out() {
    let origin =
        Origin::scripted(|seen, stream| stream.write_all(&ok(&String::from_utf8_lossy(&seen.body))).is_ok());
    let gateway = start(route("m", origin.address));
    runtime().block_on(async {
        let mut client = http2_client(gateway.local_addr().unwrap()).await;
        let requests: Vec<_> =
            (0..50).map(|i| client.send_request(http2_request("/x?y", &format!("body {i}")))).collect();
        for (i, request) in requests.into_iter().enumerate() {
            let response = request.await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("body {i}"));
        }
        let missing =
            client.send_request(Request::trace("http://t/").body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(missing.status(), StatusCode::METHOD_NOT_ALLOWED);
    });
    let seen = origin.nth(1);
    assert_eq!(seen.request_line(), "POST /x?y HTTP/1.1");
    assert_eq!((seen.header("x-forwarded-host"), seen.all("host").len()), (Some("t"), 1));
}

#[test]
fn http2_out_by_prior_knowledge_keeps_trailers_and_one_connection() {
    let runtime = runtime();
    let origin = http2_origin(&runtime);
    let mut to = route("m", origin);
    to.versions[0].upstream.http2 = true;
    let gateway = start(to);
    let reply = Client::connect(gateway.local_addr().unwrap()).ask(post("", "hello"));
    assert_eq!((reply.text(), reply.header("x-authority")), ("hello", Some(origin.to_string().as_str())));
    runtime.block_on(async {
        let mut client = http2_client(gateway.local_addr().unwrap()).await;
        let requests: Vec<_> =
            (0..20).map(|i| client.send_request(http2_request("/", &i.to_string()))).collect();
        for (i, request) in requests.into_iter().enumerate() {
            let body = request.await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["x-trailer"], "end");
            assert_eq!(body.to_bytes(), i.to_string());
        }
    });
}

#[test]
fn http2_shadows_get_copies() {
    let runtime = runtime();
    let prod = Origin::ok();
    let mut both = shadowed(prod.address, http2_origin(&runtime), 100.0);
    both.versions[1].upstream.http2 = true;
    let gateway = start(both);
    let mut client = Client::connect(gateway.local_addr().unwrap());
    for _ in 0..5 {
        assert_eq!(client.ask(post("", "x")).text(), "prod");
    }
    crate::support::eventually("the copies are answered", || crate::support::copies(&gateway).sent == 5);
}

#[test]
fn a_dead_http2_upstream_is_a_502_for_all_who_wait() {
    let mut dead = route("m", crate::support::dead_address());
    dead.versions[0].upstream.http2 = true;
    let gateway = start(dead);
    runtime().block_on(async {
        let mut client = http2_client(gateway.local_addr().unwrap()).await;
        let requests: Vec<_> = (0..10).map(|_| client.send_request(http2_request("/", ""))).collect();
        for request in requests {
            assert_eq!(request.await.unwrap().status(), StatusCode::BAD_GATEWAY);
        }
    });
}

#[test]
fn a_shutdown_lets_http2_streams_end() {
    let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
    let held = std::sync::Mutex::new(held);
    let origin = Origin::scripted(move |_, stream| {
        held.lock().unwrap().recv().unwrap();
        stream.write_all(&ok("done")).is_ok()
    });
    let gateway = Arc::new(start(route("m", origin.address)));
    runtime().block_on(async {
        let mut client = http2_client(gateway.local_addr().unwrap()).await;
        let running = client.send_request(http2_request("/", "x"));
        let wait = origin.clone();
        tokio::task::spawn_blocking(move || wait.nth(1)).await.unwrap();
        let stopping = Arc::clone(&gateway);
        let stopping = tokio::task::spawn_blocking(move || stopping.shutdown());
        let address = gateway.local_addr().unwrap();
        let closed = move || std::net::TcpStream::connect(address).is_err();
        tokio::task::spawn_blocking(move || crate::support::eventually("the port is closed", closed))
            .await
            .unwrap();
        release.send(()).unwrap();
        let body = running.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "done");
        stopping.await.unwrap();
    });
}

/// PEM files in a folder of their own, removed at the end.
struct Identity(PathBuf);

impl Identity {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gateway-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    fn tls(&self) -> ListenerTls {
        ListenerTls { cert_file: self.cert(), key_file: self.0.join("key.pem") }
    }

    fn gateway(&self, origin: SocketAddr) -> Gateway {
        let mut config = config();
        config.tls = Some(self.tls());
        start_with(config, route("m", origin), Arc::new(NoTap))
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

type TlsClient = Client<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>;

fn tls_client(identity: &Identity, address: SocketAddr) -> TlsClient {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(identity.cert()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    Client::over(rustls::StreamOwned::new(connection, stream))
}

#[test]
fn tls_in() {
    let (origin, identity) = (Origin::ok(), Identity::new("in"));
    let gateway = identity.gateway(origin.address);
    let mut client = tls_client(&identity, gateway.local_addr().unwrap());
    for _ in 0..3 {
        assert_eq!(client.ask(get("/")).text(), "prod");
    }
    assert_eq!(origin.nth(1).header("x-forwarded-proto"), Some("https"));
    // The framing check works inside TLS as well.
    let bad = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(client.ask(bad).status, 400);
    // Who does not speak TLS is counted.
    let mut plain = Client::connect(gateway.local_addr().unwrap());
    plain.send(get("/"));
    plain.rest();
    crate::support::eventually("it is counted", || crate::support::refused(&gateway, "tls_handshake") == 1);
}

#[test]
fn tls_out_by_both_protocols_and_only_with_trust() {
    let (origin, identity, stranger) = (Origin::ok(), Identity::new("out"), Identity::new("stranger"));
    let behind = identity.gateway(origin.address);
    let url = format!("https://localhost:{}", behind.local_addr().unwrap().port());
    for (http2, trusted, status) in
        [(false, true, 200), (true, true, 200), (false, false, 502), (true, false, 502)]
    {
        let mut front = route("m", origin.address);
        front.versions[0] = version("v1", &url);
        let upstream = &mut front.versions[0].upstream;
        upstream.http2 = http2;
        upstream.ca_file = Some(if trusted { identity.cert() } else { stranger.cert() });
        let gateway = start(front);
        let mut client = Client::connect(gateway.local_addr().unwrap());
        for _ in 0..3 {
            assert_eq!(client.ask(post("", "x")).status, status, "http2 {http2}, trusted {trusted}");
        }
    }
    let mut missing = route("m", origin.address);
    missing.versions[0] = version("v1", &url);
    missing.versions[0].upstream.ca_file = Some("/nonexistent/ca.pem".into());
    let error = Gateway::start(config(), table([missing]), Arc::new(NoTap)).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/ca.pem") && error.contains("model `m`"), "{error}");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HEADERS with literal fields.
fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, 4 | u8::from(end), stream, &block)
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// First byte of the answer's header block: 0x88 is 200.
    Answer(u8),
    Reset,
    Closed,
}

fn fate(client: &mut TcpStream, stream: u32) -> Fate {
    loop {
        let mut head = [0; 9];
        if client.read_exact(&mut head).is_err() {
            return Fate::Closed;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).unwrap();
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            1 if of == stream => return Fate::Answer(payload[0]),
            3 if of == stream => return Fate::Reset,
            7 => return Fate::Closed,
            _ => {}
        }
    }
}

#[test]
fn h25_what_http1_could_not_say_does_not_come_through_http2() {
    const GET: [(&str, &str); 4] =
        [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "t")];
    let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
    let data = |n: usize| frame(0, 1, 1, &vec![b'x'; n]);
    let mut path = GET.to_vec();
    path[2].1 = "/ HTTP/1.1\r\nX: y";
    let mut twice = GET.to_vec();
    twice.insert(1, (":path", "/b"));
    let attacks = [
        ("short body", [headers(1, false, &with(&[("content-length", "5")])), data(3)].concat()),
        ("long body", [headers(1, false, &with(&[("content-length", "5")])), data(7)].concat()),
        ("transfer-encoding", headers(1, true, &with(&[("transfer-encoding", "chunked")]))),
        ("line in value", headers(1, true, &with(&[("x", "a\r\nx-evil: 1")]))),
        ("line in name", headers(1, true, &with(&[("x\r\ny", "evil")]))),
        ("upper case", headers(1, true, &with(&[("X-Evil", "1")]))),
        ("line in path", headers(1, true, &path)),
        ("two paths", headers(1, true, &twice)),
        ("other host", headers(1, true, &with(&[("host", "evil")]))),
        ("connection", headers(1, true, &with(&[("connection", "x")]))),
        ("two lengths", headers(1, true, &with(&[("content-length", "0"), ("content-length", "5")]))),
    ];
    for (name, attack) in attacks {
        let origin = Origin::ok();
        let gateway = start(route("m", origin.address));
        let mut client = TcpStream::connect(gateway.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        client.write_all(&[frame(4, 0, 0, &[]), attack].concat()).unwrap();
        let end = fate(&mut client, 1);
        assert_ne!(end, Fate::Answer(0x88), "{name}");
        if end != Fate::Closed {
            client.write_all(&headers(3, true, &[&GET[..], &[("x-good", "1")]].concat())).unwrap();
            assert_eq!(fate(&mut client, 3), Fate::Answer(0x88), "{name}: the sibling stream");
        }
        for seen in origin.seen().iter().filter(|seen| seen.whole) {
            assert_eq!(seen.header("x-good"), Some("1"), "{name}: {}", seen.head);
            assert!(!seen.head.contains("evil"), "{name}: {}", seen.head);
        }
    }
}
