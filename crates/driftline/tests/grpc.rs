//! Belongs here: KServe v2 over gRPC through the gateway, with a real gRPC library on both sides.

use std::net::TcpListener;

use serde_json::{Value, json};
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::support::grpc::{GrpcClient, GrpcModel, INFER, READY, asks, numbers, runtime};
use crate::support::instance::{Folder, Instance};
use crate::support::model::Model;
use crate::support::{DEADLINE, await_some, await_until, run};

/// Rows that the reference is learned from.
const LEARN: usize = 100;

fn yaml(versions: &str, more: &str) -> String {
    format!(
        "models:\n  fraud:\n    versions: {{ {versions} }}\n    active: v1\n    auto_rollback: false\n    \
         baseline: {{ learn: {LEARN} }}\n{more}\nalerts: {{ evaluate_every: 100ms }}\nstore: state\n"
    )
}

/// An instance in front of one server.
fn before(model: &GrpcModel, folder: &Folder, more: &str) -> Instance {
    Instance::start(folder, &yaml(&format!("v1: {}", model.version()), more))
}

/// A request's columns: amounts and ages of two rows.
fn rows(n: usize) -> ([f64; 2], [f64; 2]) {
    let n = u32::try_from(n).map(f64::from).unwrap();
    ([n * 1.25, n + 0.5], [20.0 + n % 50.0, 30.0])
}

#[test]
fn readings_are_those_of_the_same_rows_over_rest() {
    let runtime = runtime();
    let (grpc, rest, folder) = (GrpcModel::start(&runtime), Model::start("v1"), Folder::new());
    let yaml = format!(
        "models:\n  grpc:\n    versions: {{ v1: {} }}\n    active: v1\n    route: /inference.GRPCInferenceService\n    \
         baseline: {{ learn: {LEARN} }}\n  rest:\n    versions: {{ v1: {} }}\n    active: v1\n    route: /v2\n    \
         baseline: {{ learn: {LEARN} }}\nalerts: {{ evaluate_every: 100ms }}\nstore: state\n",
        grpc.version(),
        rest.url(),
    );
    let instance = Instance::start(&folder, &yaml);
    let mut over_rest = instance.client();
    let mut plain = GrpcClient::new(&runtime, instance.traffic);
    let mut gzip = GrpcClient::new(&runtime, instance.traffic).compressed();
    for n in 0..2 * LEARN {
        let (amounts, ages) = rows(n);
        let request = asks("r", &[("amount", &amounts), ("age", &ages)], n % 2 == 0);
        let client = if n % 3 == 0 { &mut gzip } else { &mut plain };
        let answer = runtime.block_on(client.unary(INFER, request)).unwrap().into_inner();
        let scores = numbers(&answer.outputs, &answer.raw_output_contents);
        let body = json!({ "id": "r", "inputs": [
            { "name": "amount", "shape": [2], "datatype": "FP64", "data": amounts },
            { "name": "age", "shape": [2], "datatype": "FP64", "data": ages },
        ]});
        let same = over_rest.post("/v2/models/fraud/infer", &body).json();
        assert_eq!(same["outputs"][0]["data"], json!(scores));
        if n + 1 == LEARN / 2 {
            // Both references are full now: the rows after them are in both windows alike.
            await_until("the references are learned", DEADLINE, || {
                let status = instance.get("/api/v1/status");
                (0..2).all(|model| status["models"][model]["reference"]["state"] == "ready")
            });
        }
    }
    let rows = 4 * LEARN - LEARN;
    let drift = |model: &str| {
        await_some("the rows are measured", DEADLINE, || {
            let drift = instance.get(&format!("/api/v1/models/{model}/drift"));
            (drift["requests"] == rows).then(|| drift["features"].clone())
        })
    };
    let features: Value = drift("grpc");
    let names: Vec<_> = features.as_array().unwrap().iter().map(|f| f["feature"].clone()).collect();
    assert!(names.len() >= 3 && names.contains(&json!("prediction")), "{names:?}");
    assert_eq!(features, drift("rest"));
    assert_eq!(instance.metrics().sum("driftline_observations_dropped_total", &[]), 0.0);
}

#[test]
fn metadata_errors_and_deadlines_pass_untouched() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "");
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    runtime.block_on(async {
        let mut request = tonic::Request::new(asks("r", &[("amount", &[1.5])], true));
        request.metadata_mut().insert("x-custom", "kept".parse().unwrap());
        request.metadata_mut().insert_bin("x-custom-bin", MetadataValue::from_bytes(&[0, 255]));
        request.set_timeout(DEADLINE);
        let answer = client.unary(INFER, request).await.unwrap();
        let metadata = answer.metadata();
        assert_eq!(metadata.get("seen-x-custom").unwrap(), "kept");
        assert_eq!(metadata.get_bin("seen-bin").unwrap().to_bytes().unwrap(), &[0, 255][..]);
        assert_eq!(metadata.get("seen-grpc-timeout").unwrap(), "60000000u");

        let error = client.unary(INFER, asks("invalid", &[("amount", &[1.5])], true)).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::InvalidArgument, "50 % näh"));
        assert_eq!(error.details(), [1, 2, 3]);
        assert_eq!(error.metadata().get("x-trailer").unwrap(), "kept");

        let error = client.unary("/other.Service/Method", asks("r", &[], true)).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Unimplemented, "no such method"));
    });
    assert_eq!(model.seen()[0].1.get("te").unwrap(), "trailers");
    // By what the calls ended with, not by HTTP's 200.
    let codes =
        |code| instance.metrics().sum("driftline_requests_total", &[("lane", "prod"), ("code", code)]);
    await_until("all are counted", DEADLINE, || codes("200") + codes("400") + codes("500") == 3.0);
    assert_eq!((codes("200"), codes("400"), codes("500")), (1.0, 1.0, 1.0));
}

#[test]
fn calls_that_are_no_inferences_pass_and_count_as_such() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "");
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    for _ in 0..3 {
        runtime.block_on(client.unary(READY, asks("r", &[("amount", &[1.5])], false))).unwrap();
    }
    let dropped =
        |reason| instance.metrics().sum("driftline_observations_dropped_total", &[("reason", reason)]);
    await_until("they are counted", DEADLINE, || dropped("not_inference") == 3.0);
    assert_eq!(instance.metrics().sum("driftline_observations_dropped_total", &[]), 3.0);
}

#[test]
fn streams_pass_message_by_message_and_longer_than_any_timeout() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let version = format!("v1: {{ url: \"http://{}\", http2: true, timeout: 300ms }}", model.address);
    let instance = Instance::start(&folder, &yaml(&version, "limits: { idle_timeout: 300ms }"));
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    runtime.block_on(async {
        let (send, mut answers) = client.stream().await.unwrap();
        for n in 0..20 {
            // The next message is sent when the answer to this one is there: nothing waits for more.
            send.send(asks(&n.to_string(), &[("amount", &[1.0])], true)).await.unwrap();
            assert_eq!(answers.message().await.unwrap().unwrap().id, n.to_string());
        }
        // From now on only the server speaks, for longer than the timeouts.
        send.send(asks("endless", &[("amount", &[1.0])], true)).await.unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_millis(1_200) {
            assert_eq!(answers.message().await.unwrap().unwrap().id, "endless");
        }
        let many = (0..100).map(|n| asks(&n.to_string(), &[("amount", &[1.0])], false)).collect();
        assert_eq!(client.count(many).await.unwrap(), "100");
    });
}

#[test]
fn a_client_that_does_not_read_stops_the_model() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "");
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    // 80 kB an answer: without backpressure there would be no end to them.
    let request = asks("flood", &[("amount", &[1.0; 10_000])], true);
    let (send, mut answers) = runtime.block_on(client.stream()).unwrap();
    runtime.block_on(send.send(request)).unwrap();
    // That nothing moves any more shows only after a while.
    let mut before = 0;
    await_until("the model waits", DEADLINE, || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = model.streamed();
        now > 0 && std::mem::replace(&mut before, now) == now
    });
    assert!(before < 500, "{before} answers are held somewhere");
    for _ in 0..2 * before {
        assert_eq!(runtime.block_on(answers.message()).unwrap().unwrap().id, "flood");
    }
    assert!(model.streamed() > before);
}

#[test]
fn half_closing_ends_a_stream_in_order() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "");
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    runtime.block_on(async {
        let (send, mut answers) = client.stream().await.unwrap();
        send.send(asks("last", &[("amount", &[1.0])], true)).await.unwrap();
        drop(send);
        assert_eq!(answers.message().await.unwrap().unwrap().id, "last");
        assert!(answers.message().await.unwrap().is_none());
        answers.trailers().await.unwrap();
    });
    assert_eq!(model.cancelled(), 0);
}

#[test]
fn giving_a_call_up_reaches_the_model() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "");
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    runtime.block_on(async {
        let (send, mut answers) = client.stream().await.unwrap();
        send.send(asks("endless", &[("amount", &[1.0])], true)).await.unwrap();
        answers.message().await.unwrap().unwrap();
        drop(answers);
    });
    await_until("the stream is given up", DEADLINE, || model.cancelled() == 1);
    runtime.block_on(async {
        let call = client.unary(INFER, asks("hang", &[("amount", &[1.0])], true));
        let watch = model.clone();
        let arrived = tokio::task::spawn_blocking(move || {
            await_until("the call has arrived", DEADLINE, || watch.seen().len() == 2);
        });
        tokio::select! {
            answer = call => panic!("{answer:?}"),
            arrived = arrived => arrived.unwrap(),
        }
    });
    await_until("the call is given up", DEADLINE, || model.cancelled() == 2);
}

#[test]
fn shadows_get_calls_and_their_answers_are_measured() {
    let runtime = runtime();
    let (prod, shadow, folder) = (GrpcModel::start(&runtime), GrpcModel::start(&runtime), Folder::new());
    let versions = format!("v1: {}, v2: {}", prod.version(), shadow.version());
    let instance = Instance::start(&folder, &yaml(&versions, "    shadow: { version: v2, percent: 100 }"));
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    for n in 0..LEARN {
        let (amounts, _) = rows(n);
        runtime.block_on(client.unary(INFER, asks("r", &[("amount", &amounts)], n % 2 == 0))).unwrap();
    }
    // Production did not know who that was, so nobody else is asked either.
    let stranger = runtime.block_on(client.unary(INFER, asks("stranger", &[("amount", &[1.0])], true)));
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    let copies = |result| instance.metrics().sum("driftline_shadow_copies_total", &[("result", result)]);
    let all = f64::from(u32::try_from(LEARN).unwrap());
    await_until("the copies are answered", DEADLINE, || copies("sent") == all);
    let codes =
        |lane, code| instance.metrics().sum("driftline_requests_total", &[("lane", lane), ("code", code)]);
    assert_eq!((codes("prod", "200"), codes("prod", "401"), codes("shadow", "200")), (all, 1.0, all));
    assert_eq!((copies("dropped"), copies("failed"), shadow.seen().len()), (0.0, 0.0, LEARN));
    for (path, metadata) in shadow.seen().iter() {
        assert_eq!(path, INFER);
        assert_eq!(metadata.get("te").unwrap(), "trailers");
        assert_eq!(metadata.get("content-type").unwrap(), "application/grpc");
        assert_eq!(metadata.get("x-shadow").unwrap(), "true");
    }
    await_until("the shadow's answers are measured", DEADLINE, || {
        instance.metrics().sum("requests", &[("lane", "shadow"), ("tenant", "all")]) > 0.0
    });
}

#[test]
fn refusals_are_answers_of_grpc() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = format!(
        "models:\n  dead:\n    versions: {{ v1: {{ url: \"http://{dead}\", http2: true }} }}\n    active: v1\n    auto_rollback: false\n    \
         route: {{ header: {{ x-model: dead }} }}\n  slow:\n    \
         versions: {{ v1: {{ url: \"http://{}\", http2: true, timeout: 100ms }} }}\n    active: v1\n    auto_rollback: false\n    \
         route: {{ header: {{ x-model: slow }} }}\nlimits: {{ body_bytes: 1KiB }}\nstore: state\n",
        model.address
    );
    let instance = Instance::start(&folder, &yaml);
    let mut client = GrpcClient::new(&runtime, instance.traffic);
    let long = [1.0; 1_000];
    for (to, id, amounts, code, message) in [
        ("dead", "r", &[1.0][..], Code::Unavailable, "upstream_unreachable: the model cannot be reached"),
        (
            "slow",
            "hang",
            &[1.0],
            Code::DeadlineExceeded,
            "upstream_timeout: the model did not answer in time",
        ),
        ("slow", "r", &long, Code::ResourceExhausted, "body_too_large: the request's body is over the limit"),
        ("none", "r", &[1.0], Code::Unimplemented, "no_route: no model is served at this address"),
    ] {
        let mut request = tonic::Request::new(asks(id, &[("amount", amounts)], true));
        request.metadata_mut().insert("x-model", to.parse().unwrap());
        let error = runtime.block_on(client.unary(INFER, request)).unwrap_err();
        assert_eq!((error.code(), error.message()), (code, message), "{to} {id}");
    }
    await_until("the late call is given up", DEADLINE, || model.cancelled() >= 1);
}

#[test]
fn replay_sends_rows_and_goes_by_the_status_of_grpc() {
    let runtime = runtime();
    let (model, folder) = (GrpcModel::start(&runtime), Folder::new());
    let instance = before(&model, &folder, "    tenant: x-tenant-id");
    folder.write("rows.csv", "amount,country,seen\n1.5,DE,2\n,FR,\n3.5,,4\n");
    let to = format!("http://{}", instance.traffic);
    let args = ["replay", "rows.csv", "--protocol", "kserve-v2-grpc", "--tenant", "acme", "--to", &to];
    let outcome = run(folder.path(), &args).expect(0);
    assert!(outcome.stdout.starts_with("sent 3, 2xx 3, failed 0"), "{}", outcome.stdout);
    let requests = || instance.metrics().sum("driftline_requests_total", &[("code", "200")]);
    await_until("they are counted", DEADLINE, || requests() == 3.0);
    assert_eq!(instance.metrics().sum("driftline_observations_dropped_total", &[]), 0.0);
    let to = format!("http://{}/other.Service/Method", model.address);
    let refused = run(folder.path(), &["replay", "rows.csv", "--protocol", "kserve-v2-grpc", "--to", &to]);
    let refused = refused.expect(1);
    assert!(refused.stdout.starts_with("sent 3, 2xx 0, 500 3, failed 0"), "{}", refused.stdout);
    assert!(refused.stderr.contains("gRPC status 12: no such method"), "{}", refused.stderr);
}
