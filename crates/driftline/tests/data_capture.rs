//! Belongs here: what SageMaker captures at an endpoint, in a folder and in a bucket.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::instance::{Folder, Instance};
use crate::support::s3::{KEY_ID, S3, SECRET};
use crate::support::{DEADLINE, await_until, driftline, finish};

const MEASURED: &str = "models:\n  fraud:\n    protocol: sagemaker\n    tenant: x-tenant-id\n    baseline: { learn: 200 }\n    window: 200\n";
const HOUR: &str = "fraud-endpoint/AllTraffic/2026/07/30/13";

/// Lines of calls as SageMaker writes them, in each of its encodings.
fn lines(calls: std::ops::Range<usize>) -> String {
    calls.map(|n| format!("{}\n", line(n))).collect()
}

fn line(n: usize) -> Value {
    let (input, encoding) = match n % 2 {
        0 => (format!("{},1", n % 100), "CSV"),
        // What is captured when the content type is not named in the endpoint's configuration: `42,1`.
        _ => ("NDIsMQ==".to_owned(), "BASE64"),
    };
    let output = "{\"score\":0.5}";
    json!({
        "captureData": {
            "endpointInput": { "observedContentType": "text/csv", "mode": "INPUT", "data": input, "encoding": encoding },
            "endpointOutput": { "observedContentType": "application/json", "mode": "OUTPUT", "data": output, "encoding": "JSON" },
        },
        "eventMetadata": {
            "eventId": format!("e-{n}"), "customAttributes": ["tenant=acme"], "inferenceTime": "2026-07-30T13:36:30Z",
        },
        "eventVersion": "0",
    })
}

fn write(folder: &Folder, name: &str, text: &str) {
    let path = folder.path().join("captures").join(HOUR);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(name), text).unwrap();
}

fn result(instance: &Instance, result: &str) -> Option<f64> {
    instance.metrics().value("driftline_source_records_total", &[("result", result)])
}

#[track_caller]
fn await_counted(instance: &Instance, n: usize) {
    await_until(&format!("{n} are counted"), DEADLINE, || result(instance, "counted") == Some(n as f64));
}

const LOCAL: &str = "sources: { captured: { data_capture: { folder: captures, poll: 20ms } } }\n";

#[test]
fn a_folder_is_read_on_after_a_kill() {
    let folder = Folder::new();
    write(&folder, "10-00-000-a.jsonl", &lines(0..400));
    let instance = Instance::observe(&folder, &format!("{MEASURED}{LOCAL}"));
    await_counted(&instance, 400);
    instance.await_requests("AllTraffic", "prod", "acme", 200);
    let alone = json!({ "captureData": { "endpointOutput": { "data": "MQ==" } } });
    write(&folder, "11-00-000-a.jsonl", &format!("{}broken\n{alone}\n{}", lines(400..450), lines(450..460)));
    await_counted(&instance, 460);
    assert_eq!((result(&instance, "malformed"), result(&instance, "unpaired")), (Some(1.0), Some(1.0)));
    await_until("all of it is saved", DEADLINE, || {
        let saved =
            fs::read_to_string(folder.path().join("driftline-data/sources/captured.data_capture.json"));
        saved.is_ok_and(|text| text.matches("\"is_done\":true").count() == 2)
    });
    instance.kill();
    write(&folder, "12-00-000-a.jsonl", &lines(460..500));
    write(&folder, "11-00-000-a.jsonl", &format!("{}broken\n{alone}\n{}", lines(400..450), lines(450..470)));
    let once = format!("{MEASURED}{}", LOCAL.replace("20ms", "20ms, follow: false"));
    folder.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{once}"));
    for said in ["50 counted, 0 not", "0 counted, 0 not"] {
        let outcome = finish(driftline(folder.path()).arg("observe")).expect(0);
        assert!(outcome.stderr.contains(&format!("source `captured`: {said}")), "{}", outcome.stderr);
    }
}

/// `driftline observe` on a bucket, with planted credentials.
fn observe_bucket(folder: &Folder, server: std::net::SocketAddr) -> Instance {
    let source = format!(
        "sources: {{ captured: {{ data_capture: {{ s3: 's3://captures/some/prefix/', endpoint: 'http://{server}', \
         region: eu-central-1, poll: 50ms, versions: {{ AllTraffic: v2 }} }} }} }}\n"
    );
    folder.write("driftline.yaml", &format!("admin: 127.0.0.1:0\n{MEASURED}{source}"));
    let mut command: Command = driftline(folder.path());
    Instance::spawn(S3::credentials(&mut command).arg("observe").stdout(Stdio::null()))
}

fn is_up(instance: &Instance) -> bool {
    instance.metrics().value("driftline_source_up", &[("kind", "data_capture")]) == Some(1.0)
}

#[test]
fn a_bucket_is_read_as_soon_as_it_can_be() {
    let Some(program) = S3::installed() else { return };
    let (folder, address) = (Folder::new(), S3::free_address());
    let instance = observe_bucket(&folder, address);
    await_until("the log says that nobody is there", DEADLINE, || {
        instance.log().contains("Connection refused")
    });
    assert!(!is_up(&instance));
    let server = S3::start(&program, address, &[]);
    await_until("the bucket is missed", DEADLINE, || instance.log().contains("(NoSuchBucket)"));
    server.put("/captures", "");
    server.put(&format!("/captures/some/prefix/{HOUR}/10-00-000-a.jsonl"), &lines(0..300));
    server.put(&format!("/captures/some/prefix/{HOUR}/10-30-000-b.jsonl"), lines(300..350).trim_end());
    await_counted(&instance, 350);
    instance.await_requests("v2", "prod", "acme", 150);
    await_until("it says that it works", DEADLINE, || is_up(&instance));
    server.put(&format!("/captures/some/prefix/{HOUR}/11-00-000-a.jsonl"), &lines(350..360));
    await_counted(&instance, 360);
    let (status, log) = instance.terminate();
    assert!(status.success(), "{log}");
    let instance = observe_bucket(&folder, address);
    server.put(&format!("/captures/some/prefix/{HOUR}/12-00-000-a.jsonl"), &lines(360..365));
    await_counted(&instance, 5);
    for log in [log, instance.log()] {
        assert!(!log.contains(KEY_ID) && !log.contains(SECRET), "{log}");
    }
}

#[test]
fn a_bucket_that_is_not_there_and_one_that_refuses_are_told_apart() {
    let Some(program) = S3::installed() else { return };
    for (env, said) in [
        (&[][..], "there is no such bucket (NoSuchBucket)"),
        (&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")][..], "the credentials are refused (InvalidAccessKeyId)"),
    ] {
        let (folder, address) = (Folder::new(), S3::free_address());
        let _server = S3::start(&program, address, env);
        let instance = observe_bucket(&folder, address);
        await_until(said, DEADLINE, || instance.log().contains(said));
        let log = instance.log();
        assert!(!log.contains(KEY_ID) && !log.contains(SECRET), "{log}");
        assert!(!is_up(&instance));
        let (status, log) = instance.terminate();
        assert!(status.success(), "{log}");
    }
}
