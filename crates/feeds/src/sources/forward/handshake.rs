//! Who knows the shared key: HELO, PING and PONG of the forward protocol, with SHA-512.
//!
//! Neither side sends the key. Each proves that it knows it by the digest of a salt, its own name, the other side's nonce
//! and the key. A key that can be guessed is still found by trying: whoever listens sees everything but the key.

use std::fmt::Write as _;

use sha2::{Digest, Sha512};

use super::SharedKey;
use super::message::push_str;
use crate::fluent::msgpack::{Cursor, Head};

/// Longest PING, bytes.
pub(super) const PING_BYTES: usize = 4 << 10;

/// What a client has to answer.
#[derive(Debug)]
pub(super) struct Nonce([u8; 16]);

impl Nonce {
    /// One that nobody could foresee; or else digests could be collected for it beforehand. `None` when the system has
    /// no randomness.
    pub(super) fn new() -> Option<Self> {
        let mut nonce = [0; 16];
        rustls::crypto::ring::default_provider().secure_random.fill(&mut nonce).ok()?;
        Some(Self(nonce))
    }

    /// `["HELO", {"nonce": …, "auth": "", "keepalive": true}]`; an empty `auth` says that no user is asked for.
    pub(super) fn helo(&self) -> Vec<u8> {
        let mut out = vec![0x92];
        push_str(&mut out, b"HELO");
        out.push(0x83);
        push_str(&mut out, b"nonce");
        out.extend([0xc4, self.0.len() as u8]);
        out.extend_from_slice(&self.0);
        push_str(&mut out, b"auth");
        push_str(&mut out, b"");
        push_str(&mut out, b"keepalive");
        out.push(0xc3);
        out
    }
}

/// What a client proves: `["PING", hostname, salt, digest, user, password digest]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping<'a> {
    hostname: &'a [u8],
    salt: &'a [u8],
    digest: &'a [u8],
}

impl<'a> Ping<'a> {
    /// `None` when it is none.
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(message);
        let mut text = |first: bool| {
            if first {
                matches!(cursor.head(), Ok(Head::Array(items)) if items >= 4).then_some(())?;
            }
            match cursor.head() {
                Ok(Head::Str(text) | Head::Bin(text)) => Some(text),
                _ => None,
            }
        };
        if text(true)? != b"PING" {
            return None;
        }
        Some(Self { hostname: text(false)?, salt: text(false)?, digest: text(false)? })
    }

    /// Whether the client knows the key.
    pub(super) fn is_valid(&self, nonce: &Nonce, key: &SharedKey) -> bool {
        let expected = digest(self.salt, self.hostname, nonce, key);
        let difference = expected.bytes().zip(self.digest).fold(0, |sum, (a, b)| sum | (a ^ b));
        self.digest.len() == expected.len() && std::hint::black_box(difference) == 0
    }

    /// `["PONG", true, "", hostname, digest]`, by which the client knows that we know the key as well.
    pub(super) fn accepted(&self, nonce: &Nonce, key: &SharedKey, hostname: &str) -> Vec<u8> {
        let digest = digest(self.salt, hostname.as_bytes(), nonce, key);
        pong(true, "", hostname, &digest)
    }
}

/// `["PONG", false, reason, "", ""]`.
pub(super) fn refused() -> Vec<u8> {
    pong(false, "shared_key mismatch", "", "")
}

fn pong(is_valid: bool, reason: &str, hostname: &str, digest: &str) -> Vec<u8> {
    let mut out = vec![0x95];
    push_str(&mut out, b"PONG");
    out.push(if is_valid { 0xc3 } else { 0xc2 });
    for text in [reason, hostname, digest] {
        push_str(&mut out, text.as_bytes());
    }
    out
}

/// SHA-512 of salt, name, nonce and key, in hexadecimal.
pub(super) fn digest(salt: &[u8], hostname: &[u8], nonce: &Nonce, key: &SharedKey) -> String {
    let mut hash = Sha512::new();
    for part in [salt, hostname, &nonce.0, key.0.as_bytes()] {
        hash.update(part);
    }
    hash.finalize().iter().fold(String::with_capacity(128), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "correct horse battery staple";

    fn ping(digest: &str) -> Vec<u8> {
        let mut out = vec![0x96];
        for text in ["PING", "fb", "salt", digest, "", ""] {
            push_str(&mut out, text.as_bytes());
        }
        out
    }

    #[test]
    fn digests_are_those_of_the_specification() {
        // Python: hashlib.sha512(b"salt" + b"fb" + bytes(range(16)) + KEY).hexdigest()
        let nonce = Nonce(std::array::from_fn(|n| n as u8));
        let expected = concat!(
            "7eea1e83904bf0eb0d235144fbbdea392dd1ca0aab372a2b962bc55b82d4336d",
            "e6f195f85798aa580df34b2f6af767e00432be95c9d6bc00ed0c59f6b502d8c9"
        );
        assert_eq!(digest(b"salt", b"fb", &nonce, &SharedKey(KEY.into())), expected);
        let message = ping(expected);
        assert!(Ping::read(&message).unwrap().is_valid(&nonce, &SharedKey(KEY.into())));
    }

    #[test]
    fn only_the_key_opens() {
        let (nonce, key) = (Nonce::new().unwrap(), SharedKey(KEY.into()));
        let right = digest(b"salt", b"fb", &nonce, &key);
        for (digest, is_valid) in
            [(right.as_str(), true), (&right[..127], false), ("", false), (&right.to_uppercase(), false)]
        {
            let message = ping(digest);
            assert_eq!(Ping::read(&message).unwrap().is_valid(&nonce, &key), is_valid);
        }
        let message = ping(&right);
        let ping = Ping::read(&message).unwrap();
        assert!(!ping.is_valid(&Nonce::new().unwrap(), &key), "an old digest does not open again");
        assert!(!ping.is_valid(&nonce, &SharedKey("another".into())));
        assert_eq!(format!("{key:?}"), "SharedKey(***)");
    }

    #[test]
    fn what_is_no_ping_is_none() {
        for message in [
            &b"\xc0"[..],
            b"\x91\xa4PING",
            b"\x94\xa4PONG\xa1a\xa1b\xa1c",
            b"\x94\xa4PING\xa1a\xa1b\x01",
            b"",
        ] {
            assert!(Ping::read(message).is_none(), "{message:?}");
        }
    }
}
