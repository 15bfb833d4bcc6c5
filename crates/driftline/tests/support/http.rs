//! HTTP/1.1 over a plain socket: a client that keeps its connection, and what the model servers read with.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::DEADLINE;

/// A message's fields and body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or("")
    }

    pub(crate) fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The status code of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Reads one message; `None` when the peer has closed before its first byte. An answer without length ends with the
/// connection.
pub(crate) fn read_message(reader: &mut impl BufRead, is_answer: bool) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    if reader.read_line(&mut message.start)? == 0 {
        return Ok(None);
    }
    message.start.truncate(message.start.trim_end().len());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        message.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = message.header("content-length").and_then(|text| text.parse::<usize>().ok());
    let bodyless = is_answer && matches!(message.status(), 204 | 304);
    if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        message.body = read_chunks(reader)?;
    } else if let Some(length) = length {
        message.body.resize(length, 0);
        reader.read_exact(&mut message.body)?;
    } else if is_answer && !bodyless {
        reader.read_to_end(&mut message.body)?;
    }
    Ok(Some(message))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or(""), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size `{line}`")))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// A client with one connection that it keeps.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Whether it has a connection from an earlier request.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Sends a request and reads the answer. An error is what a user would see as a failed request.
    pub(crate) fn try_send(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Message> {
        let outcome = self.exchange(method, path, fields, body);
        let closing = outcome.as_ref().map_or(true, |answer| {
            answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
        });
        if closing {
            self.connection = None;
        }
        outcome
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Message> {
        let address = self.address;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                none.insert(BufReader::new(stream))
            }
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            write!(request, "host: {address}\r\n")?;
        }
        for (name, value) in fields {
            write!(request, "{name}: {value}\r\n")?;
        }
        if method != "GET" {
            write!(request, "content-length: {}\r\n", body.len())?;
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        connection.get_mut().write_all(&request)?;
        read_message(connection, true)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// As [`Client::try_send`]; a failure ends the test.
    #[track_caller]
    pub(crate) fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Message {
        match self.try_send(method, path, fields, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path} to {}: {error}", self.address),
        }
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Message {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }
}
