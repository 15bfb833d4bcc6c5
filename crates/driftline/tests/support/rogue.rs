//! Servers that behave as badly as a shadow can.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What it does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vice {
    /// Nothing listens.
    Dead,
    /// Accepts, reads and never answers.
    Silent,
    /// Resets the connection as soon as a request has come.
    Reset,
    /// Answers for ever, in chunks.
    EndlessChunks,
    /// Announces a terabyte and sends on and on.
    EndlessLength,
    /// A byte of the answer every now and then.
    Drip,
    /// Bytes that are no HTTP.
    Garbage,
}

pub(crate) const VICES: [Vice; 7] = [
    Vice::Dead,
    Vice::Silent,
    Vice::Reset,
    Vice::EndlessChunks,
    Vice::EndlessLength,
    Vice::Drip,
    Vice::Garbage,
];

/// Starts it. Its threads end with their connections, or with the test.
pub(crate) fn start(vice: Vice) -> SocketAddr {
    if vice == Vice::Dead {
        return SocketAddr::from(([127, 0, 0, 1], 1));
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || misbehave(vice, stream));
        }
    });
    address
}

/// A write that fails ends the thread: the other side has gone.
fn misbehave(vice: Vice, mut stream: TcpStream) -> Option<()> {
    let mut buffer = [0_u8; 16 * 1024];
    if vice == Vice::Reset {
        // Closing with unread bytes resets the connection.
        return stream.peek(&mut buffer).ok().map(drop);
    }
    // Some of the request is enough.
    let _n_read = stream.read(&mut buffer).ok()?;
    match vice {
        Vice::Dead | Vice::Reset => {}
        Vice::Silent => while stream.read(&mut buffer).ok()? > 0 {},
        Vice::EndlessChunks => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
            loop {
                stream.write_all(b"1000\r\n").ok()?;
                stream.write_all(&[b'x'; 0x1000]).ok()?;
                stream.write_all(b"\r\n").ok()?;
            }
        }
        Vice::EndlessLength => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n").ok()?;
            loop {
                stream.write_all(&[b'x'; 0x1000]).ok()?;
            }
        }
        Vice::Drip => {
            for byte in
                b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".iter().chain(std::iter::repeat(&b'x'))
            {
                stream.write_all(&[*byte]).ok()?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Vice::Garbage => stream.write_all(b"\x00\xffnot http at all\r\n\r\n\r\n").ok()?,
    }
    Some(())
}
