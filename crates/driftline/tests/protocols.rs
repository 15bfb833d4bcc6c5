//! Belongs here: what each protocol's traffic is read as, through the real gateway.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use crate::support::http::read_message;
use crate::support::instance::{Folder, Instance};
use crate::support::{DEADLINE, await_some, await_until};

/// Rows that the reference is learned from: the least there may be.
const LEARN: usize = 100;

/// A server that gives every request the same answer.
fn fixed_answer(content_type: &'static str, body: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let body = body.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                while let Ok(Some(_)) = read_message(&mut reader, false) {
                    if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Sends one request over and over and gives what is measured then: feature names, sorted. The client's answer must be
/// the model's, byte by byte.
fn measured(
    path: &str,
    content_type: &str,
    request: &[u8],
    answer_type: &'static str,
    answer: &[u8],
) -> Vec<String> {
    let folder = Folder::new();
    let model = fixed_answer(answer_type, answer.to_vec());
    let yaml = format!(
        "models:\n  m:\n    versions: {{ v1: http://{model} }}\n    active: v1\n    \
         baseline: {{ learn: {LEARN} }}\nalerts: {{ evaluate_every: 100ms }}\nstore: state\n"
    );
    let instance = Instance::start(&folder, &yaml);
    let mut client = instance.client();
    let mut send = || {
        let got = client.send("POST", path, &[("content-type", content_type)], request);
        assert_eq!((got.status(), got.body.as_slice()), (200, answer));
    };
    for _ in 0..LEARN {
        send();
    }
    await_until("the reference is learned", DEADLINE, || {
        instance.get("/api/v1/status")["models"][0]["reference"]["state"] == "ready"
    });
    send();
    let drift = await_some("features are measured", DEADLINE, || {
        let drift = instance.get("/api/v1/models/m/drift");
        (drift["requests"].as_u64() >= Some(1)).then_some(drift)
    });
    let dropped = instance.metrics().sum("driftline_observations_dropped_total", &[]);
    assert_eq!(dropped, 0.0, "nothing was left unread");
    let names = drift["features"].as_array().into_iter().flatten();
    let mut names: Vec<String> =
        names.filter_map(|f: &Value| f["feature"].as_str().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn sagemaker_rows_of_csv() {
    let names = measured("/invocations", "text/csv", b"1.5,DE,3\n2.5,FR,4\n", "text/csv", b"0.25\n0.75\n");
    assert_eq!(names, ["f0", "f1", "f2", "prediction"]);
}

#[test]
fn sagemaker_json_lines() {
    let request = b"{\"amount\":1.5,\"country\":\"DE\"}\n{\"amount\":2.5,\"country\":\"FR\"}\n";
    let answer = b"{\"score\":0.25}\n{\"score\":0.75}\n";
    let names = measured("/invocations", "application/jsonlines", request, "application/jsonlines", answer);
    assert_eq!(names, ["amount", "country", "prediction"]);
}

#[test]
fn vertex_instances() {
    let request = br#"{"instances":[{"amount":1.5,"country":"DE"}],"parameters":{"k":3}}"#;
    let answer = br#"{"predictions":[0.25],"deployedModelId":"7"}"#;
    let path = "/v1/projects/p/locations/l/endpoints/5:predict";
    let names = measured(path, "application/json", request, "application/json", answer);
    assert_eq!(names, ["amount", "country", "prediction"]);
}

#[test]
fn kserve_binary_tensors() {
    let head = br#"{"inputs":[{"name":"amount","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}"#;
    let request = [&head[..], &1.5_f32.to_le_bytes(), &2.5_f32.to_le_bytes()].concat();
    let answer = br#"{"model_name":"m","outputs":[{"name":"score","shape":[2],"datatype":"FP32","data":[0.25,0.75]}]}"#;
    let names =
        measured("/v2/models/m/infer", "application/octet-stream", &request, "application/json", answer);
    assert_eq!(names, ["amount", "prediction"]);
}

#[test]
fn a_stream_of_a_chat_is_measured_and_never_kept_as_text() {
    let request =
        br#"{"model":"gpt-x","stream":true,"messages":[{"role":"user","content":"a secret question"}]}"#;
    let answer = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let names = measured("/v1/chat/completions", "application/json", request, "text/event-stream", answer);
    for wanted in
        ["messages", "model", "prompt_chars", "prediction.finish_reason", "prediction.completion_chars"]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted} in {names:?}");
    }
    assert!(names.iter().all(|name| !name.contains("secret")), "{names:?}");
}
