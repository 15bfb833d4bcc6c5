//! Belongs here: real model servers and the connections that they close, and real WebSockets.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tungstenite::Message;

use crate::support::http::{Client, read_message};
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_until, require};

const APP: &str = r#"
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b'{"bytes": %d}' % len(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

def wsgi(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = b'{"bytes": %d}' % len(body)
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(answer)))])
    return [answer]
"#;

const NODE: &str = r#"
const [host, port, keep] = process.argv[2].split(":").concat(process.argv[3] || []);
const server = require("http").createServer((request, response) => {
  let bytes = 0;
  request.on("data", (piece) => (bytes += piece.length));
  request.on("end", () => response.end(JSON.stringify({ bytes })));
});
if (keep) server.keepAliveTimeout = Number(keep);
server.listen(Number(port), host);
"#;

/// A model server; ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Folder, program: &str, arguments: &[&str]) -> Option<Self> {
        let program = require(program)?;
        folder.write("app.py", APP);
        folder.write("app.js", NODE);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let here = address.to_string();
        let port = address.port().to_string();
        let arguments =
            arguments.iter().map(|argument| argument.replace("ADDRESS", &here).replace("PORT", &port));
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), address };
        await_until("the model server answers", DEADLINE, || TcpStream::connect(address).is_ok());
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn gateway(folder: &Folder, server: &Server, rules: &str) -> Instance {
    let yaml = format!(
        "models: {{ m: {{ versions: {{ v1: 'http://{}' }}, active: v1{rules} }} }}\n",
        server.address
    );
    Instance::start(folder, &yaml)
}

/// Clients that send at the same time, on connections of their own; how many requests were not answered well.
fn burst(instance: &Instance, clients: usize, requests: usize) -> usize {
    let client = || {
        let mut client = Client::new(instance.traffic);
        let answer = |n: usize| {
            let body = format!("{{\"amount\": {n}}}");
            let sent = client.try_send("POST", "/predict", &JSON, body.as_bytes());
            !sent.is_ok_and(|answer| answer.status() == 200 && answer.json()["bytes"] == body.len())
        };
        (0..requests).map(answer).filter(|lost| *lost).count()
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

/// A connection to the server itself, whose end is the moment at which the server closes those that began to be idle then.
fn until_the_server_closes(server: &Server) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    assert_eq!(read_message(&mut reader, true).unwrap().unwrap().status(), 200);
    drop(reader.read_to_end(&mut Vec::new()));
}

/// Bursts as far apart as the server's own patience with idle connections.
fn check_bursts(program: &str, arguments: &[&str], rules: &str) {
    let folder = Folder::new();
    let Some(server) = Server::start(&folder, program, arguments) else { return };
    let instance = gateway(&folder, &server, rules);
    for round in 0..3 {
        assert_eq!(burst(&instance, 40, 5), 0, "lost in burst {round} to {program}: {}", instance.log());
        until_the_server_closes(&server);
    }
    assert_eq!(burst(&instance, 40, 5), 0, "lost in the last burst to {program}: {}", instance.log());
}

#[test]
fn bursts_to_uvicorn_lose_nothing() {
    let arguments =
        ["app:app", "--host", "127.0.0.1", "--port", "PORT", "--lifespan", "off", "--log-level", "error"];
    check_bursts("uvicorn", &arguments, "");
    // Kept for longer than the server does.
    check_bursts("uvicorn", &arguments, ", upstream: { idle: 60s }");
}

#[test]
fn bursts_to_gunicorn_lose_nothing() {
    let arguments = ["app:wsgi", "--bind", "ADDRESS", "--threads", "8", "--log-level", "error"];
    check_bursts("gunicorn", &arguments, "");
    check_bursts("gunicorn", &arguments, ", upstream: { idle: 60s }");
}

#[test]
fn bursts_to_node_lose_nothing() {
    check_bursts("node", &["app.js", "ADDRESS"], "");
    check_bursts("node", &["app.js", "ADDRESS"], ", upstream: { idle: 60s }");
}

/// Servers that close as soon as they have answered, and say nothing about it.
#[test]
fn servers_that_close_behind_each_answer_lose_nothing() {
    let (folder, retried) = (Folder::new(), "driftline_upstream_retries_total");
    let uvicorn = [
        "app:app",
        "--host",
        "127.0.0.1",
        "--port",
        "PORT",
        "--lifespan",
        "off",
        "--log-level",
        "error",
        "--timeout-keep-alive",
        "0",
    ];
    for (program, arguments) in [("uvicorn", &uvicorn[..]), ("node", &["app.js", "ADDRESS", "1"][..])] {
        let Some(server) = Server::start(&folder, program, arguments) else { continue };
        let instance = gateway(&folder, &server, ", upstream: { idle: 60s }");
        assert_eq!(burst(&instance, 8, 400), 0, "lost to {program}: {}", instance.log());
        let page = instance.metrics();
        assert!(page.value(retried, &[("model", "m"), ("version", "v1")]).is_some(), "{program}");
        assert_eq!(page.sum("driftline_refused_total", &[]), 0.0, "{program}");
    }
}

#[test]
fn a_websocket_passes_through_with_its_messages_and_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        // Until the client closes, which is answered.
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).unwrap();
            }
        }
    });
    let folder = Folder::new();
    let yaml = format!("models: {{ m: {{ versions: {{ v1: 'http://{address}' }}, active: v1 }} }}\n");
    let instance = Instance::start(&folder, &yaml);
    let stream = TcpStream::connect(instance.traffic).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut socket, answer) =
        tungstenite::client(format!("ws://{}/queue/join?session=1", instance.traffic), stream).unwrap();
    assert_eq!(answer.status(), 101);
    for message in [
        Message::text("h\u{e4}llo"),
        Message::binary(vec![0, 255, 13, 10]),
        Message::text("x".repeat(300_000)),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    assert_eq!(instance.metrics().value("driftline_tunnels", &[]), Some(1.0));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    serving.join().unwrap();
    drop(socket);
    await_until("the tunnel is closed", DEADLINE, || {
        instance.metrics().value("driftline_tunnels", &[]) == Some(0.0)
    });
    let page = instance.metrics();
    assert_eq!(page.value("driftline_requests_total", &[("code", "101"), ("version", "v1")]), Some(1.0));
    assert_eq!(page.value("driftline_tunnels_total", &[]), Some(1.0));
}
