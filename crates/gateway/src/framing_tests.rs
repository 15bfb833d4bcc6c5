//! The reader alone: cut anywhere, it decides the same.

use proptest::prelude::*;

use super::*;

const HEAD_BYTES: usize = 16 * 1024;

fn scan(pieces: &[&[u8]]) -> Result<(), Violation> {
    let mut framing = Framing::new(HEAD_BYTES, 64);
    pieces.iter().try_for_each(|piece| framing.scan(piece))
}

fn refusal(bytes: &[u8]) -> Option<Refusal> {
    scan(&[bytes]).err().map(|v| v.refusal)
}

const GOOD: &[u8] = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello\
    POST /b HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n0A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n\
    \r\nGET /c HTTP/1.0\r\n\r\n";

const BAD: &[&[u8]] = &[
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n;\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    b"GET / HTTP/1.1\r\nA: b\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\n fold\r\n\r\n",
];

#[test]
fn whole_messages_end_where_they_say() {
    let mut framing = Framing::new(HEAD_BYTES, 64);
    assert_eq!(framing.scan(GOOD), Ok(()));
    assert!(framing.is_between());
}

#[test]
fn the_clean_part_ends_before_the_line_that_is_bad() {
    let bytes = b"GET / HTTP/1.1\r\nHost: t\r\nBad : x\r\n\r\n";
    let violation = scan(&[bytes]).unwrap_err();
    assert_eq!(&bytes[..violation.clean], b"GET / HTTP/1.1\r\nHost: t\r\n");
    assert!(!violation.in_body);
    let bytes = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n";
    let violation = scan(&[bytes]).unwrap_err();
    assert!(bytes[..violation.clean].ends_with(b"1\r\na\r\n") && violation.in_body, "{violation:?}");
}

#[test]
fn a_body_of_known_length_is_not_looked_at() {
    let bytes = b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n\n\0 : \r\r\n\xff";
    assert_eq!(scan(&[bytes]), Ok(()));
}

#[test]
fn limits_name_what_is_too_long() {
    let long = "a".repeat(9000);
    assert_eq!(refusal(format!("GET /{long} HTTP/1.1\r\n").as_bytes()), Some(Refusal::TargetTooLong));
    assert_eq!(refusal(format!("GET /{long}{long}").as_bytes()), Some(Refusal::TargetTooLong));
    assert_eq!(
        refusal(format!("GET / HTTP/1.1\r\nA: {long}{long}\r\n").as_bytes()),
        Some(Refusal::HeadTooLarge)
    );
    let fields = "A: b\r\n".repeat(65);
    assert_eq!(refusal(format!("GET / HTTP/1.1\r\n{fields}").as_bytes()), Some(Refusal::HeadTooLarge));
    let huge = "POST / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n";
    assert_eq!(refusal(huge.as_bytes()), Some(Refusal::BodyTooLarge));
}

proptest! {
    #[test]
    fn cuts_do_not_matter(cuts in proptest::collection::vec(0usize..10_000, 0..12), which in 0..=BAD.len()) {
        let bytes = if which == BAD.len() { GOOD } else { BAD[which] };
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(scan(&pieces).map_err(|v| v.refusal), scan(&[bytes]).map_err(|v| v.refusal));
    }

    #[test]
    fn anything_at_all_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let cut = cut.min(bytes.len());
        let violation = scan(&[&bytes[..cut], &bytes[cut..]]).err();
        prop_assert!(violation.is_none_or(|v| v.clean <= bytes.len()));
    }
}
