//! A model server that speaks OpenAI's API: chat and embeddings, whole or as a stream, and remembers what it was asked.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Message, read_message};

/// What a server says.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole answer.
    Whole(u16, String),
    /// Pieces of a stream of events, each after a pause.
    Stream(Vec<(Duration, String)>),
}

type Answer = dyn Fn(&Message) -> Reply + Send + Sync;

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Message>>,
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    /// While true, answers wait.
    held: Mutex<bool>,
    released: Condvar,
}

/// A running server; gone when dropped.
pub(crate) struct Llm {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Llm {
    /// A server that answers as [`reply`].
    pub(crate) fn start() -> Self {
        Self::with(reply)
    }

    pub(crate) fn with(answer: impl Fn(&Message) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (shared, answer): (_, Arc<Answer>) = (Arc::clone(&state), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || serve(&shared, &*answer, stream));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked, in the order of arrival.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The inputs of every embeddings request, one list a request.
    pub(crate) fn inputs(&self) -> Vec<Value> {
        self.seen().iter().map(|request| request.json()["input"].clone()).collect()
    }

    /// Keeps answers back, or lets them go.
    pub(crate) fn hold(&self, held: bool) {
        *self.state.held.lock().unwrap() = held;
        self.state.released.notify_all();
    }
}

impl Drop for Llm {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::Relaxed);
        self.hold(false);
        drop(TcpStream::connect(self.address));
        for stream in self.state.connections.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn serve(state: &State, answer: &Answer, mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Ok(Some(request)) = read_message(&mut reader, false) {
        let reply = answer(&request);
        state.seen.lock().unwrap().push(request);
        drop(state.released.wait_while(state.held.lock().unwrap(), |held| *held).unwrap());
        if write(&mut stream, &reply).is_err() {
            return;
        }
    }
}

fn write(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    match reply {
        Reply::Whole(status, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        }
        Reply::Stream(pieces) => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )?;
            for (pause, piece) in pieces {
                std::thread::sleep(*pause);
                write!(stream, "{:x}\r\n{piece}\r\n", piece.len())?;
            }
            write!(stream, "0\r\n\r\n")
        }
    }
}

/// Chat: `Hello` in 2 tokens for a prompt of 9. Embeddings: of each text its length and 1; a token a character.
pub(crate) fn reply(request: &Message) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if request.path().ends_with("/embeddings") {
        return Reply::Whole(200, embeddings(&body).to_string());
    }
    if body["stream"] == true { Reply::Stream(stream(Duration::ZERO)) } else { Reply::Whole(200, chat()) }
}

pub(crate) fn chat() -> String {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hello", "refusal": null },
            "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
            "prompt_tokens_details": { "cached_tokens": 4 }, "completion_tokens_details": { "reasoning_tokens": 0 } },
    })
    .to_string()
}

/// The same as a stream, with a pause before each piece.
pub(crate) fn stream(pause: Duration) -> Vec<(Duration, String)> {
    let chunk = |delta: Value, finish: Value, usage: Value| {
        let choices = if usage.is_null() {
            json!([{ "index": 0, "delta": delta, "finish_reason": finish }])
        } else {
            json!([])
        };
        let chunk = json!({ "object": "chat.completion.chunk", "choices": choices, "usage": usage });
        (pause, format!("data: {chunk}\n\n"))
    };
    vec![
        chunk(json!({ "role": "assistant", "content": "" }), Value::Null, Value::Null),
        chunk(json!({ "content": "Hel" }), Value::Null, Value::Null),
        chunk(json!({ "content": "lo" }), Value::Null, Value::Null),
        chunk(json!({}), json!("stop"), Value::Null),
        chunk(
            Value::Null,
            Value::Null,
            json!({ "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11 }),
        ),
        (pause, "data: [DONE]\n\n".to_owned()),
    ]
}

pub(crate) fn embeddings(request: &Value) -> Value {
    let inputs = match &request["input"] {
        Value::Array(inputs) => inputs.clone(),
        one => vec![one.clone()],
    };
    let length = |input: &Value| input.as_str().map_or(0, |text| text.chars().count());
    let tokens: usize = inputs.iter().map(length).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| json!({ "object": "embedding", "index": index, "embedding": [length(input), 1] }))
        .collect();
    json!({ "object": "list", "data": data, "model": request["model"], "usage": { "prompt_tokens": tokens, "total_tokens": tokens } })
}
