//! Belongs here: a real load generator and real servers, for some seconds.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_until, finish, require};

/// A running nginx; ended when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(program: &Path, folder: &Folder, name: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let body = r#"{"outputs":[{"name":"score","datatype":"FP64","shape":[1],"data":[0.5]}]}"#;
        let here = folder.path().display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {here}/{name}.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 1000000;
  client_body_temp_path {here}/{name}-body; proxy_temp_path {here}/{name}-proxy;
  fastcgi_temp_path {here}/{name}-fastcgi; uwsgi_temp_path {here}/{name}-uwsgi; scgi_temp_path {here}/{name}-scgi;
  server {{ listen {address}; location / {{ default_type application/json; return 200 '{body}'; }} }}
}}
"
        );
        let file = folder.write(&format!("{name}.conf"), &config);
        let mut command = Command::new(program);
        command.arg("-c").arg(file).arg("-p").arg(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let nginx = Self { child, address };
        await_until("nginx answers", DEADLINE, || TcpStream::connect(address).is_ok());
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn three_seconds_of_load_without_an_error() {
    let (Some(wrk), Some(nginx)) = (require("wrk"), require("nginx")) else { return };
    let folder = Folder::new();
    let (prod, shadow) = (Nginx::start(&nginx, &folder, "prod"), Nginx::start(&nginx, &folder, "shadow"));
    let (prod_url, shadow_url) = (format!("http://{}", prod.address), format!("http://{}", shadow.address));
    let args = ["run", "--prod", &prod_url, "--shadow", &shadow_url, "--percent", "20"];
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let instance = Instance::with_args(&folder, &[&args[..], &ports].concat());
    let script = folder.write(
        "infer.lua",
        "wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
wrk.body = '{\"inputs\":[{\"name\":\"amount\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[12.5]}]}'
",
    );
    let url = format!("http://{}/v2/models/fraud/infer", instance.traffic);
    let mut command = Command::new(wrk);
    command.args(["-t", "1", "-c", "16", "-d", "3s", "-s"]).arg(script).arg(url);
    let outcome = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped())).expect(0);
    let said = &outcome.stdout;
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let n_requests: f64 = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    assert!(n_requests > 100.0, "{said}");
    let page = instance.metrics();
    let answered = page.sum("driftline_requests_total", &[("lane", "prod"), ("code", "200")]);
    assert!(answered >= n_requests, "{answered} of {n_requests}");
    let copies = page.sum("driftline_shadow_copies_total", &[]);
    assert!(
        (0.1..0.3).contains(&(copies / answered)),
        "{copies} copies of {answered} requests instead of 20 %"
    );
    assert_eq!(page.sum("driftline_panics_total", &[]), 0.0);
    assert_eq!(instance.get("/readyz")["status"], "ready");
    let (status, log) = instance.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
}
