//! Belongs here: a shadow, however bad, changes nothing that a client can see; and what is copied to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::http::{Client, Message};
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::rogue::{self, VICES, Vice};
use crate::support::rows::{self, INFER, ordinary};
use crate::support::{DEADLINE, await_until, holds_for};

const SEQUENTIAL: usize = 150;
const CLIENTS: usize = 8;
const EACH: usize = 40;
const TOTAL: usize = SEQUENTIAL + CLIENTS * EACH;

/// A model with a shadow at `shadow`; `extra` are keys of the shadow.
fn config(prod: &Model, shadow: SocketAddr, percent: f64, extra: &str) -> String {
    let prod = prod.url();
    format!(
        "models:
  fraud:
    versions: {{ v2: {prod}, v1: 'http://{shadow}' }}
    active: v2
    shadow: {{ version: v1, percent: {percent}{extra} }}
limits: {{ shadow_answer_bytes: 64KiB }}
shutdown_grace: 1s
"
    )
}

/// Status, fields and body, without what differs from request to request.
type Seen = (u16, Vec<(String, String)>, Vec<u8>);

fn seen(answer: Message) -> Seen {
    let volatile =
        |name: &str| name.eq_ignore_ascii_case("date") || name.eq_ignore_ascii_case("x-request-id");
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| !volatile(name));
    (answer.status(), fields, answer.body)
}

fn ask(client: &mut Client, n: usize) -> Seen {
    seen(rows::infer(client, Some("acme"), &[ordinary(n)]))
}

/// One client after the other, then all at once.
fn traffic(address: SocketAddr) -> Vec<Seen> {
    let mut client = Client::new(address);
    let mut answers: Vec<Seen> = (0..SEQUENTIAL).map(|n| ask(&mut client, n)).collect();
    let threads: Vec<_> = (0..CLIENTS)
        .map(|thread| {
            std::thread::spawn(move || {
                let mut client = Client::new(address);
                (0..EACH).map(|n| ask(&mut client, thread * EACH + n)).collect::<Vec<_>>()
            })
        })
        .collect();
    answers.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
    answers
}

fn copies(instance: &Instance, result: &str) -> f64 {
    instance.metrics().value("driftline_shadow_copies_total", &[("result", result)]).unwrap()
}

/// A bad shadow against a run without one.
fn isolates(vice: Vice) {
    let prod = Model::start("prod");
    let folder = Folder::new();
    let plain = format!("models:\n  fraud:\n    versions: {{ v2: {} }}\n    active: v2\n", prod.url());
    let expected = traffic(Instance::start(&folder, &plain).traffic);
    assert!(expected.iter().all(|(status, ..)| *status == 200));

    let instance = Instance::start(&folder, &config(&prod, rogue::start(vice), 100.0, ", timeout: 300ms"));
    let answers = traffic(instance.traffic);
    assert_eq!(answers.len(), expected.len());
    for (answer, expected) in answers.iter().zip(&expected) {
        assert_eq!(answer, expected, "{vice:?}");
    }
    let counted = || instance.metrics().sum("driftline_shadow_copies_total", &[]);
    await_until(&format!("every copy to {vice:?} is accounted for"), DEADLINE, || counted() == TOTAL as f64);
    match vice {
        Vice::Dead | Vice::Reset | Vice::Garbage => assert!(copies(&instance, "failed") >= 5.0),
        Vice::Silent | Vice::Drip => assert!(copies(&instance, "timeout") >= 1.0),
        // Read up to the limit, and left.
        Vice::EndlessChunks | Vice::EndlessLength => assert!(copies(&instance, "sent") >= 1.0),
    }
    let page = instance.metrics();
    assert_eq!(page.sum("driftline_requests_total", &[("lane", "prod"), ("code", "200")]), TOTAL as f64);
    assert_eq!(page.sum("driftline_requests_total", &[("lane", "prod")]), TOTAL as f64);
    assert_eq!(page.sum("driftline_panics_total", &[]), 0.0);
    await_until("every request is measured", DEADLINE, || instance.model()["rows"] == TOTAL);
    assert_eq!(instance.get("/readyz")["status"], "ready");
    let began = Instant::now();
    let (status, log) = instance.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{vice:?} held the shutdown up for {:?}",
        began.elapsed()
    );
}

#[test]
fn a_dead_shadow() {
    isolates(Vice::Dead);
}

#[test]
fn a_shadow_that_never_answers() {
    isolates(Vice::Silent);
}

#[test]
fn a_shadow_that_resets() {
    isolates(Vice::Reset);
}

#[test]
fn a_shadow_that_answers_for_ever_in_chunks() {
    isolates(Vice::EndlessChunks);
}

#[test]
fn a_shadow_that_announces_a_terabyte() {
    isolates(Vice::EndlessLength);
}

#[test]
fn a_shadow_that_drips() {
    isolates(Vice::Drip);
}

#[test]
fn a_shadow_that_speaks_no_http() {
    isolates(Vice::Garbage);
    assert_eq!(VICES.len(), 7, "each vice has a test");
}

#[test]
fn what_production_refuses_is_not_copied() {
    let (prod, shadow, folder) = (Model::start("prod"), Model::start("shadow"), Folder::new());
    let instance = Instance::start(&folder, &config(&prod, shadow.address, 100.0, ""));
    let mut client = instance.client();
    for status in [401, 403] {
        prod.set(|behaviour| behaviour.status = status);
        assert_eq!(ask(&mut client, 0).0, status);
    }
    prod.set(|behaviour| behaviour.status = 200);
    assert_eq!(ask(&mut client, 1).0, 200);
    await_until("the copy of the third request", DEADLINE, || shadow.count() == 1);
    holds_for("no other copy comes", Duration::from_millis(300), || shadow.count() == 1);
    assert_eq!(copies(&instance, "sent"), 1.0);
    // What production answers with an error of its own is worth comparing.
    prod.set(|behaviour| behaviour.status = 500);
    assert_eq!(ask(&mut client, 2).0, 500);
    await_until("the copy of the fourth request", DEADLINE, || shadow.count() == 2);
}

#[test]
fn the_copy_is_the_request_with_a_mark() {
    let (prod, shadow, folder) = (Model::start("prod"), Model::start("shadow"), Folder::new());
    let instance = Instance::start(&folder, &config(&prod, shadow.address, 100.0, ""));
    let body = rows::body(&[ordinary(3)]).to_string();
    let fields =
        [("content-type", "application/json"), ("authorization", "Bearer abc"), ("x-request-id", "r-17")];
    let path = format!("{INFER}?explain=1");
    let answer = instance.client().send("POST", &path, &fields, body.as_bytes());
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-shadow"), None);
    await_until("the copy", DEADLINE, || shadow.count() == 1);
    let copy = shadow.seen()[0].clone();
    assert_eq!((copy.method(), copy.path()), ("POST", path.as_str()));
    assert_eq!(copy.text(), body);
    assert_eq!(copy.header("x-shadow"), Some("true"));
    assert_eq!(copy.header("x-request-id"), Some("r-17"));
    assert_eq!(copy.header("authorization"), Some("Bearer abc"));
    assert_eq!(copy.header("host"), Some(shadow.address.to_string().as_str()));
    let original = prod.seen()[0].clone();
    assert_eq!(original.text(), body);
    assert_eq!(original.header("x-shadow"), None);
    assert_eq!(original.header("x-request-id"), Some("r-17"));
}

#[test]
fn credentials_stay_here_when_asked_to() {
    let (prod, shadow, folder) = (Model::start("prod"), Model::start("shadow"), Folder::new());
    let extra = ", strip_credentials: true, strip_headers: [x-internal]";
    let instance = Instance::start(&folder, &config(&prod, shadow.address, 100.0, extra));
    let secrets = ["authorization", "cookie", "proxy-authorization", "x-api-key", "x-internal"];
    let mut fields: Vec<(&str, &str)> = secrets.iter().map(|name| (*name, "secret")).collect();
    fields.push(("x-other", "stays"));
    let body = rows::body(&[ordinary(0)]).to_string();
    assert_eq!(instance.client().send("POST", INFER, &fields, body.as_bytes()).status(), 200);
    await_until("the copy", DEADLINE, || shadow.count() == 1);
    let copy = shadow.seen()[0].clone();
    for name in secrets {
        assert_eq!(copy.header(name), None, "{name}");
    }
    assert_eq!(copy.header("x-other"), Some("stays"));
    let original = prod.seen()[0].clone();
    assert_eq!(original.header("authorization"), Some("secret"));
    assert_eq!(original.header("x-internal"), Some("secret"));
}

#[test]
fn a_marked_request_is_copied_at_zero_percent() {
    let (prod, shadow, folder) = (Model::start("prod"), Model::start("shadow"), Folder::new());
    let instance = Instance::start(&folder, &config(&prod, shadow.address, 0.0, ""));
    let mut client = instance.client();
    let body = rows::body(&[ordinary(0)]).to_string();
    for n in 0..20 {
        let fields: &[(&str, &str)] = if n == 7 { &[("x-shadow", "true")] } else { &[] };
        assert_eq!(client.send("POST", INFER, fields, body.as_bytes()).status(), 200);
    }
    await_until("the copy of the marked request", DEADLINE, || shadow.count() == 1);
    holds_for("no other copy comes", Duration::from_millis(300), || shadow.count() == 1);
    assert_eq!(prod.count(), 20);

    let folder = Folder::new();
    let instance = Instance::start(&folder, &config(&prod, shadow.address, 0.0, ", honour_mark: false"));
    let answer = instance.client().send("POST", INFER, &[("x-shadow", "true")], body.as_bytes());
    assert_eq!(answer.status(), 200);
    await_until("the request is measured", DEADLINE, || instance.model()["rows"] == 1);
    holds_for("the mark is not honoured", Duration::from_millis(300), || shadow.count() == 1);
}

#[test]
fn a_body_over_the_capture_limit_is_served_and_not_copied() {
    let (prod, shadow, folder) = (Model::start("prod"), Model::start("shadow"), Folder::new());
    let yaml =
        config(&prod, shadow.address, 100.0, "").replace("limits: { ", "limits: { capture_bytes: 4KiB, ");
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    let large: Vec<_> = (0..1_000).map(ordinary).collect();
    let answer = rows::infer(&mut client, None, &large);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["outputs"][0]["shape"][0], 1_000);
    await_until("the dropped copy is counted", DEADLINE, || copies(&instance, "dropped") == 1.0);
    let page = instance.metrics();
    assert_eq!(page.value("driftline_shadow_drops_total", &[("reason", "capture_limit")]), Some(1.0));
    assert_eq!(page.value("driftline_observations_dropped_total", &[("reason", "capture_limit")]), Some(1.0));
    assert_eq!(shadow.count(), 0);
}

#[test]
fn a_production_server_that_is_gone_is_a_502_and_no_copy() {
    let (shadow, folder) = (Model::start("shadow"), Folder::new());
    let yaml = format!(
        "models:\n  fraud:\n    versions: {{ v2: 'http://{}', v1: {} }}\n    active: v2\n    shadow: {{ version: v1, percent: 100 }}\n",
        rogue::start(Vice::Dead),
        shadow.url()
    );
    let instance = Instance::start(&folder, &yaml);
    assert_eq!(ask(&mut instance.client(), 0).0, 502);
    holds_for("no copy comes", Duration::from_millis(300), || shadow.count() == 0);
}
