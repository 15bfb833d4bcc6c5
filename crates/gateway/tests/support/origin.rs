//! An origin that records every byte and answers by script.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::DEADLINE;

/// A request as the origin read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) head: String,
    /// Body, chunks joined.
    pub(crate) body: Vec<u8>,
    /// False when the connection ended before the message's end.
    pub(crate) whole: bool,
}

impl Seen {
    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }
}

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    raw: Vec<u8>,
    connections: usize,
}

/// The script: answers one request on its stream, and says whether the connection goes on.
pub(crate) type Script = dyn Fn(&Seen, &mut TcpStream) -> bool + Send + Sync;

#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    log: Arc<(Mutex<Log>, Condvar)>,
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Origin {
    /// Answers every request with `answer` and keeps the connection.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::scripted(move |_, stream| stream.write_all(&answer).is_ok())
    }

    pub(crate) fn ok() -> Self {
        Self::answering(ok("prod"))
    }

    /// Reads requests and never answers.
    pub(crate) fn hanging() -> Self {
        Self::scripted(|_, _| true)
    }

    pub(crate) fn scripted(script: impl Fn(&Seen, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Self { address: listener.local_addr().unwrap(), log: Arc::default() };
        let (me, script): (_, Arc<Script>) = (origin.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                me.log.0.lock().unwrap().connections += 1;
                me.log.1.notify_all();
                let (me, script) = (me.clone(), Arc::clone(&script));
                std::thread::spawn(move || me.serve(stream, &*script));
            }
        });
        origin
    }

    fn serve(&self, mut stream: TcpStream, script: &Script) {
        stream.set_nodelay(true).unwrap();
        let mut reader = Reader { buffer: Vec::new(), origin: self };
        loop {
            let Some(seen) = reader.request(&mut stream) else { return };
            let whole = seen.whole;
            let mut log = self.log.0.lock().unwrap();
            log.seen.push(seen.clone());
            self.log.1.notify_all();
            drop(log);
            if !whole || !script(&seen, &mut stream) {
                return;
            }
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.0.lock().unwrap().seen.clone()
    }

    /// Everything that ever arrived.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.log.0.lock().unwrap().raw.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.0.lock().unwrap().connections
    }

    /// Waits for the `n`th request (from 1).
    #[track_caller]
    pub(crate) fn nth(&self, n: usize) -> Seen {
        let log = self.log.0.lock().unwrap();
        let (log, late) = self.log.1.wait_timeout_while(log, DEADLINE, |log| log.seen.len() < n).unwrap();
        assert!(!late.timed_out(), "the origin has seen {} requests, not {n}", log.seen.len());
        log.seen[n - 1].clone()
    }
}

struct Reader<'a> {
    buffer: Vec<u8>,
    origin: &'a Origin,
}

impl Reader<'_> {
    fn more(&mut self, stream: &mut TcpStream) -> bool {
        let mut chunk = [0; 16 * 1024];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                self.origin.log.0.lock().unwrap().raw.extend_from_slice(&chunk[..n]);
                true
            }
        }
    }

    fn until(&mut self, stream: &mut TcpStream, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|w| w == mark) {
                return Some(self.buffer.drain(..at + mark.len()).collect());
            }
            if !self.more(stream) {
                return None;
            }
        }
    }

    fn exactly(&mut self, stream: &mut TcpStream, n: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.more(stream) {
                return None;
            }
        }
        Some(self.buffer.drain(..n).collect())
    }

    fn request(&mut self, stream: &mut TcpStream) -> Option<Seen> {
        let head = String::from_utf8(self.until(stream, b"\r\n\r\n")?).unwrap();
        let mut seen = Seen { head, ..Seen::default() };
        let length = seen.header("content-length").map(|v| v.parse().unwrap());
        let chunked = seen.header("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()), "two lengths reached the origin: {}", seen.head);
        let body = match length {
            Some(n) => self.exactly(stream, n),
            None if chunked => self.chunks(stream, &mut seen.body),
            None => Some(Vec::new()),
        };
        seen.whole = body.is_some();
        seen.body.extend(body.unwrap_or_default());
        Some(seen)
    }

    fn chunks(&mut self, stream: &mut TcpStream, body: &mut Vec<u8>) -> Option<Vec<u8>> {
        loop {
            let line = self.until(stream, b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            if size == 0 {
                self.exactly(stream, 2)?;
                return Some(Vec::new());
            }
            let chunk = self.exactly(stream, size + 2)?;
            body.extend_from_slice(&chunk[..size]);
        }
    }
}
