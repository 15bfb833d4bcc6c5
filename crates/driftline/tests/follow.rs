//! Belongs here: gateways that follow what a parameter, a file or an endpoint names, ours and nginx; AWS in `moto`'s place.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::fraud::Pair;
use crate::support::http::Client;
use crate::support::instance::{Folder, Instance};
use crate::support::load::Load;
use crate::support::{DEADLINE, await_some, await_until, driftline, finish, require};

/// A process that is ended when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// AWS in memory.
struct Moto {
    _process: Process,
    address: SocketAddr,
}

/// Keys that are nobody's.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "testing"),
    ("AWS_SECRET_ACCESS_KEY", "testing-secret"),
    ("AWS_REGION", "eu-central-1"),
];

impl Moto {
    /// `None` when it is not installed.
    fn start() -> Option<Self> {
        let program = require("moto_server")?;
        let address = free_address();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = Process(child);
        await_until("moto answers", DEADLINE, || TcpStream::connect(address).is_ok());
        Some(Self { _process: process, address })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A call as any client makes it; moto looks at no signature, but at the service that was signed for.
    #[track_caller]
    fn call(&self, service: &str, target: &str, body: &Value) -> Value {
        let signed = format!(
            "AWS4-HMAC-SHA256 Credential=testing/20260131/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let fields = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", target),
            ("authorization", &signed),
        ];
        let answer = Client::new(self.address).send("POST", "/", &fields, body.to_string().as_bytes());
        assert_eq!(answer.status(), 200, "{target}: {answer:?}");
        answer.json()
    }

    fn put(&self, name: &str, value: &str) {
        let body = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true });
        self.call("ssm", "AmazonSSM.PutParameter", &body);
    }

    fn parameter(&self, name: &str) -> Value {
        self.call("ssm", "AmazonSSM.GetParameter", &json!({ "Name": name }))["Parameter"].clone()
    }
}

fn instance(folder: &Folder, yaml: &str) -> Instance {
    folder.write("driftline.yaml", &format!("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{yaml}"));
    let mut command = driftline(folder.path());
    command.args(["run"]).stdout(Stdio::null()).envs(KEYS);
    Instance::spawn(&mut command)
}

#[test]
fn one_gateway_writes_the_parameter_and_another_follows_it() {
    let Some(moto) = Moto::start() else { return };
    let (models, writing, following) = (Pair::start(), Folder::new(), Folder::new());
    moto.put("/model/current", "fraud-v2");
    let aws = format!("{{ endpoint_url: '{}' }}", moto.url());
    let actuator = format!(
        "rollback:
  actuators:
    parameter: {{ ssm: {{ aws: {aws} }}, versions: {{ v1: fraud-v1, v2: fraud-v2 }} }}
"
    );
    let writer = instance(&writing, &models.yaml("", &actuator));
    let follow =
        format!("follow: {{ every: 200ms, ssm: {{ aws: {aws} }}, names: {{ fraud-v1: v1, fraud-v2: v2 }} }}");
    let follower = instance(&following, &models.yaml(&follow, ""));
    let load = Load::start(&follower);
    load.goes_on();
    let began = Instant::now();
    assert_eq!(writer.post("/api/v1/models/fraud/rollback", &json!({})).status(), 200);
    assert_eq!(moto.parameter("/model/current")["Value"], "fraud-v1", "written before the call is answered");
    await_until("the other gateway follows", DEADLINE, || follower.active() == "v1");
    eprintln!("rollback to another gateway's change, through SSM: {:?}", began.elapsed());
    load.goes_on();
    load.stop();
    let event = &follower.events("rollback")[0];
    assert_eq!(event["actor"], "parameter /model/current");
    // Said again, it is one version of the parameter and no more.
    let version = moto.parameter("/model/current")["Version"].clone();
    let again = writer.post("/api/v1/models/fraud/rollback", &json!({})).json();
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(moto.parameter("/model/current")["Version"], version);
    // A person's hold wins over what is followed.
    assert_eq!(follower.post("/api/v1/models/fraud/hold", &json!({ "reason": "test" })).status(), 200);
    assert_eq!(writer.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
    await_until("it is said", DEADLINE, || follower.log().contains("a person holds the model"));
    assert_eq!(follower.active(), "v1");
    assert_eq!(follower.post("/api/v1/models/fraud/release", &json!({})).status(), 200);
    await_until("then it follows", DEADLINE, || follower.active() == "v2");
    moto.put("/model/current", "nonsense");
    await_until("nonsense is said", DEADLINE, || follower.log().contains("no version `nonsense`"));
    assert_eq!(follower.active(), "v2");
    for instance in [&writer, &follower] {
        assert!(!instance.log().contains("testing-secret"));
    }
}

#[test]
fn weights_of_a_sagemaker_endpoint() {
    let Some(moto) = Moto::start() else { return };
    let (models, folder) = (Pair::start(), Folder::new());
    let sagemaker =
        |operation: &str, body: Value| moto.call("sagemaker", &format!("SageMaker.{operation}"), &body);
    let role = "arn:aws:iam::123456789012:role/sagemaker";
    let container = json!({ "Image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/fraud:1" });
    sagemaker(
        "CreateModel",
        json!({ "ModelName": "fraud", "ExecutionRoleArn": role, "PrimaryContainer": container }),
    );
    let variant = |name: &str, weight: f64| {
        json!({ "VariantName": name, "ModelName": "fraud", "InitialInstanceCount": 1, "InstanceType": "ml.t2.medium",
                "InitialVariantWeight": weight })
    };
    let variants = json!([variant("blue", 0.0), variant("green", 1.0)]);
    sagemaker(
        "CreateEndpointConfig",
        json!({ "EndpointConfigName": "fraud", "ProductionVariants": variants }),
    );
    sagemaker("CreateEndpoint", json!({ "EndpointName": "fraud", "EndpointConfigName": "fraud" }));
    let actuator = format!(
        "rollback:
  actuators:
    endpoint:
      sagemaker: {{ aws: {{ endpoint_url: '{}' }}, endpoint: fraud }}
      versions: {{ v1: blue, v2: green }}
",
        moto.url()
    );
    let instance = instance(&folder, &models.yaml("", &actuator));
    let rehearsed = instance.post("/api/v1/models/fraud/rollback", &json!({ "dry_run": true })).json();
    assert_eq!(
        rehearsed["steps"][1]["would"],
        "give `blue` of `fraud` all the weight; the weights are blue 0, green 1"
    );
    let weights = || -> Vec<f64> {
        let endpoint = sagemaker("DescribeEndpoint", json!({ "EndpointName": "fraud" }));
        let variants = endpoint["ProductionVariants"].as_array().unwrap();
        // No weight at all is how nothing is told here.
        variants.iter().map(|variant| variant["CurrentWeight"].as_f64().unwrap_or(0.0)).collect()
    };
    assert_eq!(weights(), [0.0, 1.0]);
    let moved = instance.post("/api/v1/models/fraud/rollback", &json!({}));
    assert_eq!(moved.status(), 200, "{moved:?}");
    assert_eq!(weights(), [1.0, 0.0]);
    assert_eq!(instance.post("/api/v1/models/fraud/promote", &json!({})).status(), 200);
    assert_eq!(weights(), [0.0, 1.0]);
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // In order: killed, it would leave its workers behind.
        let pid = self.process.0.id().to_string();
        if Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|sent| sent.success()) {
            drop(self.process.0.wait());
        }
    }
}

/// nginx as clients have it: the upstream is in a file of its own.
struct Nginx {
    process: Process,
    address: SocketAddr,
    config: PathBuf,
}

impl Nginx {
    fn start(program: &Path, folder: &Folder, models: [SocketAddr; 2]) -> Self {
        let (address, here) = (free_address(), folder.path().display());
        let servers: String = ["v1", "v2"]
            .iter()
            .zip(models)
            .map(|(name, at)| format!("  server {{ listen {at}; location / {{ return 200 '{name}'; }} }}\n"))
            .collect();
        folder.write("upstream.conf", &format!("server {};\n", models[1]));
        let config = format!(
            "daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/fastcgi; uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
{servers}  upstream model {{ include {here}/upstream.conf; }}
  server {{ listen {address}; location / {{ proxy_pass http://model; }} }}
}}
"
        );
        let config = folder.write("nginx.conf", &config);
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { process: Process(child), address, config };
        await_until("nginx answers", DEADLINE, || nginx.try_get().is_some());
        nginx
    }

    fn try_get(&self) -> Option<String> {
        let answer = Client::new(self.address).try_send("GET", "/", &[], b"").ok()?;
        (answer.status() == 200).then(|| answer.text().to_owned())
    }
}

#[test]
fn nginx_follows_a_parameter_and_loses_no_request() {
    let (Some(nginx), Some(wrk)) = (require("nginx"), require("wrk")) else { return };
    let Some(moto) = Moto::start() else { return };
    let folder = Folder::new();
    let models = [free_address(), free_address()];
    moto.put("/model/current", "v2");
    let server = Nginx::start(&nginx, &folder, models);
    assert_eq!(server.try_get().as_deref(), Some("v2"));
    folder.write("upstream.conf.tmpl", "# {{ value }}\nserver {{ target }};\n");
    let (nginx, config, here) = (nginx.display(), server.config.display(), folder.path().display());
    let mut command = driftline(folder.path());
    command.args(["follow", "--ssm", "/model/current", "--endpoint-url", &moto.url(), "--every", "0.2"]);
    command.args([
        "--map",
        &format!("v1={}", models[0]),
        "--map",
        &format!("v2={}", models[1]),
        "--map",
        "broken=;",
    ]);
    command.args(["--template", "upstream.conf.tmpl", "-o", "upstream.conf"]);
    command.args(["--test", &format!("'{nginx}' -t -c '{config}' -p '{here}'")]);
    command.args(["--reload", &format!("'{nginx}' -s reload -c '{config}' -p '{here}'")]);
    let mut sidecar = command.envs(KEYS).stdout(Stdio::null()).spawn().unwrap();
    let log = crate::support::instance::collect(sidecar.stderr.take().unwrap());
    let sidecar = Process(sidecar);
    await_until("the first value is in force", DEADLINE, || folder.read("upstream.conf").starts_with("# v2"));

    let mut load = Command::new(wrk);
    // A connection a request: nginx closes idle ones when it reloads, whoever is about to use them.
    load.args(["-t", "1", "-c", "8", "-d", "5s", "-H", "Connection: close"]);
    load.arg(format!("http://{}/", server.address));
    let mut load = load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    moto.put("/model/current", "v1");
    await_until("clients get v1", DEADLINE, || server.try_get().as_deref() == Some("v1"));
    eprintln!("parameter written to nginx serving the other version: {:?}", began.elapsed());
    moto.put("/model/current", "broken");
    await_some("what fails its test is taken back", DEADLINE, || {
        folder.read("upstream.conf").starts_with("# v1").then_some(())
    });
    let mut said = String::new();
    load.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(load.wait().unwrap().success());
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let requests: u64 = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ").and_then(|(count, _)| count.parse().ok()))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(requests > 100, "{said}");
    eprintln!("requests meanwhile: {requests}, lost: 0");
    assert_eq!(server.try_get().as_deref(), Some("v1"));
    drop(sidecar);
    let log = log.whole();
    assert!(log.contains("the configuration fails its test, the old one is back"), "{log}");
    assert!(!log.contains("testing-secret"));
}

/// What a client with one connection that it keeps has seen.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    lost: u64,
    /// Requests that met a connection which nginx had just closed, and were sent again over a new one.
    again: u64,
}

impl Seen {
    /// Sends requests until `stop`.
    fn send(&mut self, address: SocketAddr, stop: &AtomicBool) {
        let mut client = Client::new(address);
        while !stop.load(Ordering::Relaxed) {
            let is_new = !client.is_connected();
            let mut answer = client.try_send("GET", "/", &[], b"");
            if answer.is_err() && !is_new {
                self.again += 1;
                answer = client.try_send("GET", "/", &[], b"");
            }
            match answer {
                Ok(answer) if answer.status() == 200 => self.answers += 1,
                _ => self.lost += 1,
            }
        }
    }
}

#[test]
fn clients_that_keep_their_connections_to_nginx_lose_nothing_if_they_open_a_new_one() {
    const CLIENTS: u64 = 4;
    const CHANGES: u64 = 5;
    let Some(nginx) = require("nginx") else { return };
    let folder = Folder::new();
    let models = [free_address(), free_address()];
    folder.write("current", "v2");
    let server = Nginx::start(&nginx, &folder, models);
    folder.write("upstream.conf.tmpl", "server {{ target }};\n");
    let (nginx, config, here) = (nginx.display(), server.config.display(), folder.path().display());
    let mut command = driftline(folder.path());
    command.args(["follow", "--file", "current", "--every", "0.1"]);
    for (version, model) in ["v1", "v2"].iter().zip(models) {
        command.args(["--map", &format!("{version}={model}")]);
    }
    command.args(["--template", "upstream.conf.tmpl", "-o", "upstream.conf"]);
    command.args(["--reload", &format!("'{nginx}' -s reload -c '{config}' -p '{here}'")]);
    let _sidecar = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, address) = (Arc::clone(&stop), server.address);
            std::thread::spawn(move || {
                let mut seen = Seen::default();
                seen.send(address, &stop);
                seen
            })
        })
        .collect();
    for n in 0..CHANGES {
        let version = if n % 2 == 0 { "v1" } else { "v2" };
        folder.write("current", version);
        await_until("nginx serves it", DEADLINE, || server.try_get().as_deref() == Some(version));
    }
    stop.store(true, Ordering::Relaxed);
    let seen = clients.into_iter().map(|client| client.join().unwrap()).fold(Seen::default(), |all, one| {
        Seen { answers: all.answers + one.answers, lost: all.lost + one.lost, again: all.again + one.again }
    });
    eprintln!("{CHANGES} reloads under {CLIENTS} connections that are kept: {seen:?}");
    assert_eq!(seen.lost, 0, "{seen:?}");
    assert!(seen.answers > CLIENTS * CHANGES, "{seen:?}");
    // At most once for each connection and reload: that is what a client without a second try would lose.
    assert!(seen.again <= CLIENTS * CHANGES, "{seen:?}");
}

#[test]
fn a_file_is_followed_once() {
    let folder = Folder::new();
    folder.write("current", "v1\n");
    folder.write("conf.tmpl", "model {{ value }} at {{ target }}\n");
    let follow = |more: &[&str]| {
        let args = ["follow", "--file", "current", "--template", "conf.tmpl", "-o", "conf", "--once"];
        finish(driftline(folder.path()).args(args).args(more))
    };
    follow(&["--map", "v1=10.0.0.1:80"]).expect(0);
    assert_eq!(folder.read("conf"), "model v1 at 10.0.0.1:80\n");
    let refused = follow(&["--map", "v2=10.0.0.2:80"]).expect(1);
    assert!(refused.stderr.contains("`v1` is none of v2"), "{}", refused.stderr);
    let failed = follow(&["--test", "false"]).expect(1);
    assert!(failed.stderr.contains("fails its test"), "{}", failed.stderr);
    assert_eq!(folder.read("conf"), "model v1 at 10.0.0.1:80\n", "as it was");
    follow(&["--test", "'unclosed"]).expect(2);
    folder.write("conf.tmpl", "{{ nobody }}");
    follow(&[]).expect(2);
}
