//! The demo's models as servers: KServe v2 over HTTP on loopback, one listener per version.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::flights::INPUTS;
use super::model::Model;

/// Where it says that it is ready, KServe v2.
const READY_PATH: &str = "/v2/health/ready";

/// The path that both versions answer.
pub(super) const INFER_PATH: &str = "/v2/models/flights/infer";

/// Bytes of a request that are read.
const REQUEST_BYTES: usize = 1024 * 1024;

/// Pause after an accept that failed, so that running out of sockets does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The injected slowness: most answers wait for 300 to 500 ms ...
const SLOW_MS: (f64, f64) = (300.0, 500.0);

/// ... and this share of them for 500 to 600 ms, so that three in ten of it lie under the p95: 530 ms.
const SLOWEST_SHARE: f64 = 0.05 / 0.7;
const SLOWEST_MS: (f64, f64) = (500.0, 600.0);

/// Fractional part of the golden ratio: its multiples cover 0..1 evenly however many are taken.
const GOLDEN: f64 = 0.618_033_988_749_894_8;

/// One version of the model, being served.
#[derive(Debug)]
pub(super) struct ModelServer {
    version: &'static str,
    model: Model,
    /// Whether answers wait.
    slow: AtomicBool,
    answered: AtomicU64,
}

impl ModelServer {
    /// Listens and serves until the runtime ends. Port 0 is a free one.
    pub(super) async fn start(
        version: &'static str,
        model: Model,
        listen: SocketAddr,
    ) -> std::io::Result<(Arc<Self>, SocketAddr)> {
        let server = Self { version, model, slow: AtomicBool::new(false), answered: AtomicU64::new(0) };
        let server = Arc::new(server);
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        tokio::spawn(Arc::clone(&server).accept(listener));
        Ok((server, address))
    }

    /// From now on answers wait as long as [`wait_ms`] says.
    pub(super) fn slow_down(&self) {
        self.slow.store(true, Ordering::Relaxed);
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(Arc::clone(&self).serve(stream))),
                Err(error) => {
                    tracing::warn!(%error, version = self.version, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() == Method::GET && request.uri().path() == READY_PATH {
            return response(StatusCode::OK, &ReadyAnswer { ready: true });
        }
        if request.method() != Method::POST || request.uri().path() != INFER_PATH {
            return response(
                StatusCode::NOT_FOUND,
                &ErrorAnswer { error: format!("only POST {INFER_PATH}") },
            );
        }
        let body = match Limited::new(request.into_body(), REQUEST_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                return response(StatusCode::BAD_REQUEST, &ErrorAnswer { error: error.to_string() });
            }
        };
        if self.slow.load(Ordering::Relaxed) {
            let number = self.answered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs_f64(wait_ms(number) / 1000.0)).await;
        }
        match self.infer(&body) {
            Ok(answer) => response(StatusCode::OK, &answer),
            Err(error) => response(StatusCode::BAD_REQUEST, &ErrorAnswer { error }),
        }
    }

    /// Scores every row of a request.
    fn infer(&self, body: &[u8]) -> Result<InferAnswer, String> {
        let request: InferRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let rows = request.inputs.first().map_or(0, |tensor| tensor.data.len());
        let tensors: HashMap<&str, &[Value]> =
            request.inputs.iter().map(|tensor| (tensor.name.as_str(), tensor.data.as_slice())).collect();
        let scores = (0..rows).map(|row| {
            let inputs = INPUTS.map(|name| {
                let value = tensors.get(name).and_then(|data| data.get(row)).and_then(Value::as_f64);
                value.unwrap_or(f64::NAN)
            });
            self.model.predict(&inputs)
        });
        let output = OutputTensor { name: "late", shape: [rows], datatype: "FP64", data: scores.collect() };
        Ok(InferAnswer { model_name: "flights", model_version: self.version, outputs: [output] })
    }
}

/// How long the slow answer of this number waits, milliseconds. The p95 over any few dozen of them is 530.
fn wait_ms(number: u64) -> f64 {
    let place = (number as f64 * GOLDEN).fract();
    let between = |(low, high): (f64, f64), share: f64| low + (high - low) * share;
    if place < SLOWEST_SHARE {
        between(SLOWEST_MS, place / SLOWEST_SHARE)
    } else {
        between(SLOW_MS, (place - SLOWEST_SHARE) / (1.0 - SLOWEST_SHARE))
    }
}

fn response(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body =
        serde_json::to_vec(body).expect("invariant: an answer has string keys and finite numbers only");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

#[derive(Deserialize)]
struct InferRequest {
    inputs: Vec<InputTensor>,
}

#[derive(Deserialize)]
struct InputTensor {
    name: String,
    data: Vec<Value>,
}

#[derive(Serialize)]
struct InferAnswer {
    model_name: &'static str,
    model_version: &'static str,
    outputs: [OutputTensor; 1],
}

#[derive(Serialize)]
struct OutputTensor {
    name: &'static str,
    shape: [usize; 1],
    datatype: &'static str,
    data: Vec<f64>,
}

#[derive(Serialize)]
struct ReadyAnswer {
    ready: bool,
}

#[derive(Serialize)]
struct ErrorAnswer {
    error: String,
}

#[cfg(test)]
mod tests {
    use super::super::flights::loaded;
    use super::*;

    fn server() -> ModelServer {
        let model = Model::fit(&loaded().reference, &INPUTS);
        ModelServer { version: "v2", model, slow: AtomicBool::new(false), answered: AtomicU64::new(0) }
    }

    #[test]
    fn every_row_gets_a_score() {
        let body = br#"{"inputs":[{"name":"hour","shape":[2],"datatype":"INT64","data":[6,20]},
            {"name":"carrier","shape":[2],"datatype":"BYTES","data":["AA",null]}]}"#;
        let answer = serde_json::to_value(server().infer(body).unwrap()).unwrap();
        assert_eq!(answer["model_version"], "v2");
        assert_eq!(answer["outputs"][0]["shape"], serde_json::json!([2]));
        let score = |row: usize| answer["outputs"][0]["data"][row].as_f64().unwrap();
        assert!(
            0.0 < score(0) && score(0) < score(1) && score(1) < 1.0,
            "delays add up over the day: {answer}"
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bad in ["", "{}", "[]", r#"{"inputs":[{"name":1,"data":[]}]}"#] {
            assert!(server().infer(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn slow_answers_have_the_p95_they_are_said_to_have() {
        for first in [0, 12_345] {
            let mut waits: Vec<f64> = (first..first + 200).map(wait_ms).collect();
            waits.sort_unstable_by(f64::total_cmp);
            assert!((waits[190] - 530.0).abs() < 15.0, "{}", waits[190]);
            assert!(waits[0] >= 300.0 && waits[199] <= 600.0);
        }
    }
}
