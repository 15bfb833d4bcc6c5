//! A server that keeps what it is sent and answers as it is told: a chat, a pager, a trainer, a router.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::http::{Message, read_message};

type Answer = dyn Fn(&Message) -> (u16, String) + Send + Sync;

/// The server.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    /// Answers everything with 200 and this body.
    pub(crate) fn start(body: &'static str) -> Self {
        Self::answering(move |_| (200, body.to_owned()))
    }

    /// Answers with a status and a body.
    pub(crate) fn answering(answer: impl Fn(&Message) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer): (Arc<Mutex<Vec<Message>>>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let keep = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (keep, answer) = (Arc::clone(&keep), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &keep, &*answer));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything so far.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// Bodies of everything so far, as text.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.seen().iter().map(|message| message.text().to_owned()).collect()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Message>>, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    // A peer that goes away has heard enough.
    while let Ok(Some(message)) = read_message(&mut reader, false) {
        let (status, body) = answer(&message);
        seen.lock().unwrap().push(message);
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}
