//! A client that writes what it is told and reads answers strictly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the message ended where it said.
    pub(crate) whole: bool,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).next()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes);
        self.reply()
    }

    /// Reads one answer to a request that was not `HEAD`.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to(false)
    }

    #[track_caller]
    pub(crate) fn reply_to(&mut self, head_only: bool) -> Reply {
        let head = self.head().expect("the connection ended before an answer");
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new(), whole: true };
        if head_only || status == 204 || status == 304 || status < 200 {
            return reply;
        }
        let length = reply.header("content-length").map(|v| v.parse::<usize>().unwrap());
        let chunked = reply.header("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()), "two lengths in an answer: {}", reply.head);
        match length {
            Some(n) => reply.whole = self.exactly(n, &mut reply.body),
            None if chunked => reply.whole = self.chunks(&mut reply.body),
            None => {
                while self.more() {}
                reply.body.append(&mut self.buffer);
            }
        }
        reply
    }

    fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                return Some(String::from_utf8(self.buffer.drain(..at + 4).collect()).unwrap());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("the gateway is silent; so far: {:?}", String::from_utf8_lossy(&self.buffer))
            }
            Err(_) => false,
        }
    }

    fn exactly(&mut self, n: usize, into: &mut Vec<u8>) -> bool {
        while self.buffer.len() < n {
            if !self.more() {
                into.append(&mut self.buffer);
                return false;
            }
        }
        into.extend(self.buffer.drain(..n));
        true
    }

    fn chunks(&mut self, into: &mut Vec<u8>) -> bool {
        loop {
            let line = loop {
                if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                    break self.buffer.drain(..at + 2).collect::<Vec<u8>>();
                }
                if !self.more() {
                    return false;
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            if !self.exactly(size, into) {
                return false;
            }
            if size > 0 {
                if !self.exactly(2, &mut Vec::new()) {
                    return false;
                }
                continue;
            }
            // Trailers are left to those who ask for them.
            let mut trailers = Vec::new();
            while !trailers.ends_with(b"\r\n\r\n") && trailers != b"\r\n" {
                if !self.exactly(1, &mut trailers) {
                    return false;
                }
            }
            self.buffer.splice(0..0, []);
            return true;
        }
    }

    /// Reads so many bytes, whatever they are.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) {
        let mut read = Vec::new();
        assert!(self.exactly(bytes.len(), &mut read), "closed after {:?}", String::from_utf8_lossy(&read));
        bytes.copy_from_slice(&read);
    }

    /// Whether the gateway closes without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more()
    }

    /// Everything until the end of the connection.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        while self.more() {}
        self.buffer
    }
}

/// Sends `bytes` on a connection of its own and returns all that comes back.
pub(crate) fn all_of(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut client = Client::connect(address);
    client.send(bytes);
    client.rest()
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n")
}

/// A request with more header lines (each with its CR LF) and a body.
pub(crate) fn post(headers: &str, body: &str) -> String {
    format!("POST /predict HTTP/1.1\r\nHost: t\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}
