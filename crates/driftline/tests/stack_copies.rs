//! Belongs here: the gateways of `deploy/` that copy to an observer, with traffic: nginx of the Compose stack's profile, and
//! the Envoy for copies in Kubernetes. Only addresses and folders are changed.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::stack::{TOKEN, free_address, shipped};
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, require};

/// Requests that are sent through.
const SENT: usize = 120;

/// A gateway; ended when dropped.
struct Gateway(Child);

impl Gateway {
    fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let gateway = Self(child);
        await_until("the gateway answers", DEADLINE, || TcpStream::connect(address).is_ok());
        gateway
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The observer of the Compose stack, under another model's name if one is given.
fn observer(folder: &Folder, model: &str) -> Instance {
    let here = folder.path().to_str().unwrap();
    folder.write("driftline-token", &format!("{TOKEN}\n"));
    let yaml = shipped(
        "compose/observer.yaml",
        &[
            ("0.0.0.0:9464", "127.0.0.1:0"),
            ("[observer]", "[observer, driftline-admin]"),
            ("/run/secrets", here),
            ("/var/lib/driftline", &format!("{here}/state")),
            ("flights-nginx", model),
        ],
    );
    folder.write("driftline.yaml", &yaml);
    Instance::with_args(folder, &["observe"])
}

/// Sends requests as a browser with credentials would.
fn send(address: SocketAddr) -> Vec<u16> {
    let mut client = Client::new(address);
    let fields = [
        ("content-type", "application/json"),
        ("x-tenant-id", "acme"),
        ("origin", "http://page.example"),
        ("authorization", "Bearer client"),
        ("cookie", "session=1"),
        ("x-driftline-version", "v9"),
    ];
    let body = |n: usize| rows::body(&[ordinary(n)]).to_string();
    (0..SENT).map(|n| client.send("POST", INFER, &fields, body(n).as_bytes()).status()).collect()
}

#[test]
fn nginx_of_the_stack_copies_to_its_observer() {
    let Some(nginx) = require("nginx") else { return };
    let (folder, served) = (Folder::new(), Model::start("served"));
    let observer = observer(&folder, "flights-nginx");
    let (here, address) = (folder.path().to_str().unwrap(), free_address());
    folder.write("mirror-auth.conf", &format!("proxy_set_header Authorization \"Bearer {TOKEN}\";\n"));
    let config = shipped(
        "compose/nginx.conf",
        &[
            // First, because the folder may itself be below it.
            ("/tmp/", &format!("{here}/")),
            ("/run/secrets", here),
            ("worker_processes auto;", "daemon off; master_process off;"),
            ("listen 8080", &format!("listen {address}")),
            ("model-v2:8000", &served.address.to_string()),
            ("observer:9464", &observer.admin.to_string()),
            // On a machine that is busy with other tests; the test is of what is counted.
            ("timeout 50ms", "timeout 20s"),
            ("timeout 100ms", "timeout 20s"),
        ],
    );
    let file = folder.write("nginx.conf", &config);
    let _gateway = Gateway::start(Command::new(nginx).arg("-p").arg(here).arg("-c").arg(file), address);
    assert_eq!(send(address), vec![200; SENT]);
    await_until("every copy is counted", DEADLINE, || observer.model()["rows"] == SENT);
    assert_eq!(served.count(), SENT);
    let client = served.seen().last().cloned().unwrap();
    assert_eq!(client.header("authorization"), Some("Bearer client"), "the model gets what the client sent");
    assert_eq!(observer.metrics().sum("driftline_observations_dropped_total", &[]), 0.0);
}

#[test]
fn envoy_for_copies_in_kubernetes_brings_them_to_the_observer() {
    let Some(envoy) = require("envoy") else { return };
    let folder = Folder::new();
    let observer = observer(&folder, "fraud");
    let token = folder.write("token", TOKEN);
    let address = free_address();
    let config = shipped(
        "kubernetes/examples/copies-envoy.yaml",
        &[
            ("/etc/driftline-auth/token", token.to_str().unwrap()),
            (
                "address: 0.0.0.0, port_value: 8081",
                &format!("address: 127.0.0.1, port_value: {}", address.port()),
            ),
            (
                "address: driftline-admin, port_value: 9464",
                &format!("address: 127.0.0.1, port_value: {}", observer.admin.port()),
            ),
            // On a machine that is busy with other tests; the test is of what is counted.
            ("timeout: 1s", "timeout: 20s"),
        ],
    );
    let file = folder.write("envoy.yaml", &config);
    let mut command = Command::new(envoy);
    command.arg("-c").arg(file).args(["--disable-hot-restart", "--concurrency", "1"]);
    let _gateway = Gateway::start(&mut command, address);
    // What Istio or the Gateway API copies; the answers go nowhere.
    assert_eq!(send(address), vec![204; SENT]);
    await_until("every copy is counted", DEADLINE, || observer.model()["rows"] == SENT);
    assert_eq!(observer.metrics().sum("driftline_observations_dropped_total", &[]), 0.0);
}
