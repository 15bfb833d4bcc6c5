//! A server that takes pushes as Loki does, with answers as scripted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What it does with a push.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// This status line and further header fields.
    Say(&'static str),
    /// Nothing, and keeps the connection open.
    Hang,
    /// Closes the connection.
    Close,
}

/// Answers pushes one after the other as scripted, then for ever with 204.
#[derive(Debug)]
pub(crate) struct Loki {
    pub(crate) address: SocketAddr,
    pushes: Arc<Mutex<Vec<(Answer, Value)>>>,
}

impl Loki {
    pub(crate) fn start(script: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (script, pushes) = (Arc::new(Mutex::new(script.to_vec())), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&pushes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &script, &seen));
            }
        });
        Self { address, pushes }
    }

    /// Every push so far and how it was answered.
    pub(crate) fn pushes(&self) -> Vec<(Answer, Value)> {
        self.pushes.lock().unwrap().clone()
    }

    /// The lines that were taken: labels, line as JSON, metadata.
    pub(crate) fn taken(&self) -> Vec<(Value, Value, Value)> {
        let is_taken = |answer: &Answer| matches!(answer, Answer::Say(line) if line.starts_with("204"));
        let mut lines = Vec::new();
        for (_, push) in self.pushes().into_iter().filter(|(answer, _)| is_taken(answer)) {
            for stream in push["streams"].as_array().unwrap() {
                for value in stream["values"].as_array().unwrap() {
                    let line = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
                    lines.push((stream["stream"].clone(), line, value[2].clone()));
                }
            }
        }
        lines
    }
}

fn serve(stream: TcpStream, script: &Mutex<Vec<Answer>>, seen: &Mutex<Vec<(Answer, Value)>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut length, mut line, mut first) = (0, String::new(), String::new());
        let mut gzip = false;
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            gzip |= line.eq_ignore_ascii_case("content-encoding: gzip\r\n");
            if line == "\r\n" {
                break;
            }
        }
        assert!(first.starts_with("POST /loki/api/v1/push "), "{first}");
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        if gzip {
            let mut inflated = Vec::new();
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut inflated).unwrap();
            body = inflated;
        }
        let answer = {
            let mut script = script.lock().unwrap();
            if script.is_empty() { Answer::Say("204 No Content") } else { script.remove(0) }
        };
        seen.lock().unwrap().push((answer, serde_json::from_slice(&body).unwrap()));
        match answer {
            Answer::Say(line) => {
                let end = if line.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
                if write!(stream, "HTTP/1.1 {line}\r\n{end}\r\n").is_err() {
                    return;
                }
            }
            Answer::Hang => {
                // Until the other side gives up.
                drop(reader.read(&mut [0]));
                return;
            }
            Answer::Close => return,
        }
    }
}
