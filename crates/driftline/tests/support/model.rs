//! A model server that speaks KServe v1 and v2 and remembers what it was asked.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Message, read_message};

/// How a model answers from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) status: u16,
    pub(crate) latency: Duration,
    /// The score of a row, from its first number in KServe v2, from the sum of its numbers in KServe v1.
    pub(crate) score: fn(f64) -> f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { status: 200, latency: Duration::ZERO, score: |amount| amount.rem_euclid(10.0) / 10.0 }
    }
}

#[derive(Debug, Default)]
struct State {
    name: String,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Message>>,
    count: AtomicUsize,
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// A running model server; gone when dropped.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Model {
    pub(crate) fn start(name: &str) -> Self {
        Self::with(name, Behaviour::default())
    }

    pub(crate) fn with(name: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(State { name: name.to_owned(), behaviour: Mutex::new(behaviour), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it answers.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.behaviour.lock().unwrap());
    }

    /// Requests so far.
    pub(crate) fn count(&self) -> usize {
        self.state.count.load(Ordering::SeqCst)
    }

    /// What it was asked, in the order of arrival.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Vec<Message>> {
        self.state.seen.lock().unwrap()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is over.
        drop(TcpStream::connect(self.address));
        for stream in self.state.connections.lock().unwrap().drain(..) {
            // One that has ended is just as well.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn serve(state: &State, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Ok(Some(request)) = read_message(&mut reader, false) {
        let behaviour = *state.behaviour.lock().unwrap();
        let answer = answer(&state.name, behaviour, &request);
        state.seen.lock().unwrap().push(request);
        state.count.fetch_add(1, Ordering::SeqCst);
        if !behaviour.latency.is_zero() {
            std::thread::sleep(behaviour.latency);
        }
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// The bytes of the answer.
fn answer(name: &str, behaviour: Behaviour, request: &Message) -> Vec<u8> {
    let body = if behaviour.status == 200 {
        infer(name, behaviour.score, &request.body).to_string()
    } else {
        json!({ "error": format!("status {}", behaviour.status) }).to_string()
    };
    let status = behaviour.status;
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\nx-model: {name}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn infer(name: &str, score: fn(f64) -> f64, body: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(rows) = request["instances"].as_array() {
        let scores: Vec<f64> = rows.iter().map(|row| score(sum(row))).collect();
        return json!({ "predictions": scores });
    }
    let first = request["inputs"].as_array().into_iter().flatten().find_map(|input| {
        let numbers: Option<Vec<f64>> = input["data"].as_array()?.iter().map(Value::as_f64).collect();
        numbers
    });
    let scores: Vec<f64> = first.unwrap_or_default().into_iter().map(score).collect();
    json!({
        "model_name": name, "id": request["id"],
        "outputs": [{ "name": "score", "datatype": "FP64", "shape": [scores.len()], "data": scores }],
    })
}

/// The sum of a row's numbers.
fn sum(row: &Value) -> f64 {
    row.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_f64()).sum()
}
