//! gRPC calls: trailers, and what a call's status counts as. Whole calls with a real library are tested with the program.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::client::Client as RawClient;
use crate::support::origin::Origin;
use crate::support::tap::Recorder;
use crate::support::{
    config, copies, dead_address, eventually, refused, route, settled, shadowed, start, start_with,
};

/// Data, then trailers.
struct Message {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}

fn field(name: &'static str, value: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(name, value.parse().unwrap());
    fields
}

/// `/trailer/N` ends with `grpc-status: N`, `/head/N` has it in the head and nothing else, `/none` has none; `/echo`
/// says in its trailers what came in the request's.
async fn answer(request: Request<Incoming>) -> Result<Response<Message>, Infallible> {
    let path = request.uri().path().to_owned();
    let te = request.headers().get("te").cloned();
    let came = request.into_body().collect().await.unwrap().trailers().cloned();
    let data = Some(Bytes::from_static(b"\0\0\0\0\0"));
    let (head, body) = match path.rsplit_once('/').unwrap() {
        ("/trailer", code) => {
            (HeaderMap::new(), Message { data, trailers: Some(field("grpc-status", code)) })
        }
        ("/head", code) => (field("grpc-status", code), Message { data: None, trailers: None }),
        (_, "none") => (HeaderMap::new(), Message { data, trailers: None }),
        _ => {
            let came = came.and_then(|fields| fields.get("x-end").cloned());
            let mut trailers = field("grpc-status", "0");
            trailers.insert("x-came", came.unwrap_or_else(|| "nothing".parse().unwrap()));
            trailers.insert("x-te", te.unwrap_or_else(|| "nothing".parse().unwrap()));
            (HeaderMap::new(), Message { data, trailers: Some(trailers) })
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = head;
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    Ok(response)
}

fn origin(runtime: &tokio::runtime::Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
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

type Client = hyper::client::conn::http2::SendRequest<Message>;

async fn client(address: SocketAddr) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Head, body and trailers of the answer.
async fn call(client: &mut Client, path: &str, content_type: &str) -> (HeaderMap, Bytes, Option<HeaderMap>) {
    let data = Some(Bytes::from_static(b"\0\0\0\0\0"));
    let body = Message { data, trailers: Some(field("x-end", "client")) };
    let request = Request::post(format!("http://t{path}"))
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    (head.headers, body.to_bytes(), trailers)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn trailers_pass_both_ways_for_grpc_and_a_clients_end_here_for_all_else() {
    let runtime = runtime();
    let mut to = route("m", origin(&runtime));
    to.versions[0].upstream.http2 = true;
    let gateway = start_with(config(), to, Arc::new(gateway::NoTap));
    runtime.block_on(async {
        let mut client = client(gateway.local_addr().unwrap()).await;
        for (content_type, came) in [("application/grpc+proto", "client"), ("application/json", "nothing")] {
            let (_, data, trailers) = call(&mut client, "/x/echo", content_type).await;
            let trailers = trailers.unwrap();
            assert_eq!((&data[..], trailers["grpc-status"].as_bytes()), (&b"\0\0\0\0\0"[..], &b"0"[..]));
            assert_eq!(
                (&trailers["x-came"], &trailers["x-te"]),
                (&came.parse().unwrap(), &"trailers".parse().unwrap())
            );
        }
        let (head, data, trailers) = call(&mut client, "/head/5", "application/grpc").await;
        assert_eq!((head["grpc-status"].as_bytes(), data.len(), trailers), (&b"5"[..], 0, None));
    });
}

#[test]
fn a_call_counts_by_its_own_status_and_strangers_are_not_copied() {
    let runtime = runtime();
    let to = origin(&runtime);
    let mut both = shadowed(to, to, 100.0);
    // No `http2: true`: a gRPC call goes to the version and to the shadow in HTTP/2 by itself.
    assert!(both.versions.iter().all(|version| !version.upstream.http2));
    // Production's lane only: the shadow's answers come when they come.
    both.shadows[0].tap = false;
    let tap = Arc::new(Recorder::default());
    let gateway = start_with(config(), both, Arc::clone(&tap) as Arc<dyn gateway::Tap>);
    let calls = [
        ("/trailer/0", 200, true),
        ("/head/0", 200, true),
        ("/trailer/16", 401, false),
        ("/head/7", 403, false),
        ("/trailer/14", 503, true),
        ("/trailer/4", 504, true),
        ("/x/none", 500, true),
    ];
    runtime.block_on(async {
        let mut client = client(gateway.local_addr().unwrap()).await;
        for (path, _, _) in calls {
            call(&mut client, path, "application/grpc").await;
        }
    });
    let seen = tap.exchanges(calls.len());
    for (path, status, _) in calls {
        let exchange = seen.iter().find(|exchange| exchange.path == path.as_bytes()).unwrap();
        assert_eq!(exchange.status, status, "{path}");
    }
    let copied = u64::try_from(calls.iter().filter(|(_, _, copied)| *copied).count()).unwrap();
    eventually("the copies are answered", || settled(&gateway) == copied);
    assert_eq!(copies(&gateway).sent, copied);
    let snapshot = gateway.snapshot();
    let shadow = snapshot.lanes.iter().find(|lane| lane.lane == record::Lane::Shadow).unwrap();
    assert_eq!(shadow.by_code, [(200, 2), (500, 1), (503, 1), (504, 1)]);
}

/// Calls a version that is no gRPC server, and gives the call's status and message.
fn failing(to: SocketAddr) -> (u64, String, String) {
    let gateway = start_with(config(), route("m", to), Arc::new(gateway::NoTap));
    let (head, body, _) = runtime().block_on(async {
        let mut client = client(gateway.local_addr().unwrap()).await;
        call(&mut client, "/x/echo", "application/grpc").await
    });
    assert!(body.is_empty());
    let text = |name: &str| head[name].to_str().unwrap().to_owned();
    (refused(&gateway, "upstream_not_http2"), text("grpc-status"), text("grpc-message"))
}

#[test]
fn a_version_that_speaks_no_http2_is_said_in_the_calls_status() {
    let bad_request = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // One answers HTTP/2's first bytes in HTTP/1, one hangs up.
    for origin in [
        Origin::scripted(|_, stream| {
            stream.write_all(bad_request).unwrap();
            false
        }),
        Origin::scripted(|_, _| false),
    ] {
        let (refused, status, message) = failing(origin.address);
        assert_eq!((refused, &*status), (1, "14"), "{message}");
        assert!(message.contains("HTTP/2"), "{message}");
    }
    let (refused, status, message) = failing(dead_address());
    assert_eq!((refused, &*status), (0, "14"), "{message}");
}

#[test]
fn grpc_over_http1_is_refused_with_what_to_do() {
    let origin = Origin::ok();
    let gateway = start(route("m", origin.address));
    let reply = RawClient::connect(gateway.local_addr().unwrap())
        .ask("POST /a.B/C HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((reply.status, refused(&gateway, "grpc_over_http1")), (505, 1), "{}", reply.text());
    assert!(origin.seen().is_empty());
    let web =
        "POST /a.B/C HTTP/1.1\r\nHost: t\r\nContent-Type: application/grpc-web\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(RawClient::connect(gateway.local_addr().unwrap()).ask(web).status, 200);
}
