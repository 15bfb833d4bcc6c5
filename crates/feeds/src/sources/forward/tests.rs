use std::net::SocketAddr;

use rmpv::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::message::{Message, push_str};
use super::*;
use crate::fluent::testing::{entry, gzip, hex, packed, record};
use crate::sources::testing::Bench;

/// As Fluent Bit 5.1 sends it without options: `[tag, [[[time, {}], record]]]`.
const FORWARD: &str = "
    92
      a8 707265642e617070                    # pred.app
      91                                     # one entry
        92
          dd 00000002 d7 00 6b033eb4 0754d4c0 df 00000000
          df 00000001 a8 6665617475726573 81 a6 616d6f756e74 cb 4029000000000000";

/// With `send_options` and `require_ack_response`: the chunk's id is the Base64 of 16 bytes.
const WITH_CHUNK: &str = "
    93
      a8 707265642e617070
      dc 0001                                # a list with a length of 16 bits
        dd 00000002                          # retain_metadata_in_forward_mode false: [time, record]
          d7 00 6b033eb4 0754d4c0
          df 00000001 a8 6665617475726573 81 a6 616d6f756e74 cb 4029000000000000
      83
        a5 6368756e6b                        # chunk: the id, and what with_chunk() puts behind it";

fn chunk_id() -> &'static str {
    "AAECAwQFBgcICQoLDA0ODw=="
}

/// The message above with its options written out.
fn with_chunk() -> Vec<u8> {
    let mut bytes = hex(WITH_CHUNK);
    push_str(&mut bytes, chunk_id().as_bytes());
    bytes.extend(hex("a4 73697a65 01 ad 666c75656e745f7369676e616c 00")); // size: 1, fluent_signal: 0
    bytes
}

fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(pairs.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect())
}

/// A message with these entries, in bytes, and these options.
fn packed_forward(entries: &[u8], options: &[(&str, Value)]) -> Vec<u8> {
    packed(&Value::Array(vec![Value::from("t"), Value::Binary(entries.to_vec()), map(options)]))
}

fn spec() -> ForwardSpec {
    ForwardSpec {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        reading: Reading::default(),
        shared_key: None,
        hostname: "driftline".to_owned(),
        max_connections: 8,
        max_frame_bytes: 1 << 20,
    }
}

struct Listener {
    bench: Bench,
    address: SocketAddr,
    running: JoinHandle<()>,
}

async fn listen(spec: ForwardSpec, patience: Patience) -> Listener {
    let bench = Bench::new("fraud");
    let listener = TcpListener::bind(spec.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(serve(listener, Shared::new(spec, bench.context(), patience)));
    Listener { bench, address, running }
}

impl Listener {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn await_counted(&self, n: usize) {
        while self.bench.seen().len() < n {
            tokio::task::yield_now().await;
        }
    }

    fn result(&self, reason: &str) -> u64 {
        let status = self.bench.context().counters.status();
        status.rejected.iter().find(|(known, _)| *known == reason).unwrap().1
    }

    async fn await_errors(&self, n: u64) {
        while self.bench.context().counters.status().errors < n {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.bench.stop.send(true).unwrap();
        self.running.await.unwrap();
    }
}

async fn read_exact(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn ack() -> Vec<u8> {
    packed(&map(&[("ack", Value::from(chunk_id()))]))
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset is a close as well.
    stream.read_to_end(&mut rest).await.is_err() || rest.is_empty()
}

#[tokio::test]
async fn every_mode_is_counted() {
    let listener = listen(spec(), Patience::default()).await;
    let mut stream = listener.connect().await;
    let entries = [packed(&entry(1, record(1.0))), packed(&entry(1, record(2.0)))].concat();
    let list = Value::Array(vec![entry(1, record(1.0)); 20]);
    let single = |time: Value| packed(&Value::Array(vec![Value::from("t"), time, record(1.0)]));
    let single_with_options = packed(&Value::Array(vec![
        Value::from("t"),
        Value::from(5),
        record(1.0),
        map(&[("size", Value::from(1))]),
    ]));
    let as_text = packed(&Value::Array(vec![Value::from("t"), Value::from("")]));
    let messages = [
        (hex(FORWARD), 1),
        (packed(&Value::Array(vec![Value::from("t"), list])), 20),
        (single(Value::from(1_795_376_820_u64)), 1),
        (single(crate::fluent::testing::event_time(5, 5)), 1),
        (single_with_options, 1),
        (packed_forward(&entries, &[]), 2),
        (packed_forward(&entries, &[("compressed", Value::from("text"))]), 2),
        (packed_forward(&gzip(&entries), &[("compressed", Value::from("gzip"))]), 2),
        (
            packed_forward(
                &zstd::encode_all(&entries[..], 3).unwrap(),
                &[("compressed", Value::from("zstd"))],
            ),
            2,
        ),
        (as_text, 0),
        (vec![0xc0], 0),
    ];
    let mut expected = 0;
    for (message, records) in messages {
        stream.write_all(&message).await.unwrap();
        expected += records;
        listener.await_counted(expected).await;
        assert_eq!(listener.bench.seen().len(), expected);
    }
    assert_eq!(listener.bench.context().counters.status().errors, 0);
    listener.stop().await;
}

#[tokio::test]
async fn a_chunk_is_acknowledged_once_it_is_counted_and_counted_once() {
    let listener = listen(spec(), Patience::default()).await;
    for connection in 0..3 {
        let mut stream = listener.connect().await;
        stream.write_all(&with_chunk()).await.unwrap();
        assert_eq!(read_exact(&mut stream, ack().len()).await, ack());
        assert_eq!(listener.bench.seen().len(), 1, "after the acknowledgement it is counted");
        assert_eq!(listener.result("duplicate"), connection);
    }
    listener.stop().await;
}

#[tokio::test]
async fn pieces_of_any_size_make_the_same_messages() {
    let listener = listen(spec(), Patience::default()).await;
    let mut stream = listener.connect().await;
    let all = [with_chunk(), hex(FORWARD), with_chunk(), hex(FORWARD)].concat();
    for byte in &all {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(read_exact(&mut stream, 2 * ack().len()).await, [ack(), ack()].concat());
    listener.await_counted(3).await;
    stream.write_all(&hex(FORWARD).repeat(5_000)).await.unwrap();
    listener.await_counted(5_003).await;
    listener.stop().await;
}

#[tokio::test]
async fn a_bad_record_costs_only_itself_and_the_chunk_is_acknowledged() {
    let listener = listen(spec(), Patience::default()).await;
    let mut stream = listener.connect().await;
    let entries =
        [packed(&entry(1, record(1.0))), packed(&Value::from(7)), packed(&entry(1, record(2.0)))].concat();
    stream.write_all(&packed_forward(&entries, &[("chunk", Value::from(chunk_id()))])).await.unwrap();
    assert_eq!(read_exact(&mut stream, ack().len()).await, ack());
    assert_eq!((listener.bench.seen().len(), listener.result("malformed")), (2, 1));
    let metrics = [("chunk", Value::from(chunk_id())), ("fluent_signal", Value::from(1))];
    stream.write_all(&packed_forward(b"\xc0", &metrics)).await.unwrap();
    assert_eq!(read_exact(&mut stream, ack().len()).await, ack(), "or it would come again and again");
    assert_eq!((listener.bench.seen().len(), listener.result("malformed")), (2, 2));
    listener.stop().await;
}

#[tokio::test]
async fn what_is_no_forward_protocol_is_closed_and_never_acknowledged() {
    let listener = listen(spec(), Patience::default()).await;
    let bomb = gzip(&vec![0_u8; 8 << 20]);
    let chunk = ("chunk", Value::from(chunk_id()));
    let hostile: [Vec<u8>; 7] = [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xc1],
        packed(&Value::Array(vec![])),
        packed(&Value::Array(vec![Value::from("t"), map(&[])])),
        hex("dd ffffffff"),
        hex("92 a1 74 c6 ffffffff"),
        packed_forward(&bomb, &[chunk, ("compressed", Value::from("gzip"))]),
    ];
    for (n, bytes) in hostile.iter().enumerate() {
        let mut stream = listener.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert!(is_closed(&mut stream).await, "{n}");
        listener.await_errors(n as u64 + 1).await;
    }
    assert_eq!(listener.bench.seen().len(), 0);
    let mut stream = listener.connect().await;
    stream.write_all(&with_chunk()).await.unwrap();
    assert_eq!(read_exact(&mut stream, ack().len()).await, ack(), "the chunk of the bomb is not remembered");
    listener.stop().await;
}

#[tokio::test]
async fn a_slow_client_is_given_up_and_holds_nobody_up() {
    let patience = Patience { frame: Duration::from_millis(50), ..Patience::default() };
    let listener = listen(spec(), patience).await;
    let mut slow = listener.connect().await;
    slow.write_all(&hex(FORWARD)[..10]).await.unwrap();
    let mut other = listener.connect().await;
    other.write_all(&with_chunk()).await.unwrap();
    assert_eq!(read_exact(&mut other, ack().len()).await, ack());
    assert!(is_closed(&mut slow).await);
    listener.await_errors(1).await;
    listener.stop().await;
}

#[tokio::test]
async fn connections_and_memory_are_bounded() {
    let listener = listen(ForwardSpec { max_connections: 10, ..spec() }, Patience::default()).await;
    // Each holds most of a frame; the room is for eight of that length.
    let begun = [&hex("92 a1 74 c6 000f0000")[..], &vec![0; 900_000]].concat();
    let mut held = Vec::new();
    for _ in 0..9 {
        let mut stream = listener.connect().await;
        // A connection that has been closed takes no more.
        drop(stream.write_all(&begun).await);
        held.push(stream);
    }
    listener.await_errors(1).await;
    let mut small = listener.connect().await;
    small.write_all(&with_chunk()).await.unwrap();
    assert_eq!(read_exact(&mut small, ack().len()).await, ack(), "small messages still pass");
    drop(held);
    listener.stop().await;

    let listener = listen(ForwardSpec { max_connections: 1, ..spec() }, Patience::default()).await;
    let mut first = listener.connect().await;
    first.write_all(&with_chunk()).await.unwrap();
    read_exact(&mut first, ack().len()).await;
    assert!(is_closed(&mut listener.connect().await).await);
    drop(first);
    listener.await_errors(1).await;
    listener.stop().await;
}

#[tokio::test]
async fn only_who_knows_the_key_is_counted() {
    let key = SharedKey("correct horse battery staple".into());
    let spec = ForwardSpec { shared_key: Some(key.clone()), ..spec() };
    let listener = listen(spec, Patience::default()).await;
    for (given, opens) in [(key, true), (SharedKey("guessed".into()), false)] {
        let mut stream = listener.connect().await;
        let helo = read_exact(&mut stream, 48).await;
        let helo = rmpv::decode::read_value(&mut &helo[..]).unwrap();
        assert_eq!(helo[0].as_str(), Some("HELO"));
        let nonce = helo[1].as_map().unwrap()[0].1.as_slice().unwrap().to_vec();
        let digest = sha512(&[b"salt", b"fb", &nonce, given.0.as_bytes()]);
        let ping = ["PING", "fb", "salt", &digest, "", ""].map(Value::from);
        stream.write_all(&packed(&Value::Array(ping.to_vec()))).await.unwrap();
        if opens {
            let expected = sha512(&[b"salt", b"driftline", &nonce, given.0.as_bytes()]);
            let pong =
                [Value::from("PONG"), Value::from(true), "".into(), "driftline".into(), expected.into()];
            let pong = packed(&Value::Array(pong.to_vec()));
            assert_eq!(read_exact(&mut stream, pong.len()).await, pong);
            stream.write_all(&with_chunk()).await.unwrap();
            assert_eq!(read_exact(&mut stream, ack().len()).await, ack());
        } else {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            let pong = rmpv::decode::read_value(&mut &rest[..]).unwrap();
            assert_eq!((pong[0].as_str(), pong[1].as_bool()), (Some("PONG"), Some(false)));
        }
    }
    let mut stream = listener.connect().await;
    stream.write_all(&with_chunk()).await.unwrap();
    read_exact(&mut stream, 48).await;
    assert!(is_closed(&mut stream).await, "without PING nothing is taken");
    assert_eq!(listener.bench.seen().len(), 1);
    listener.stop().await;
}

fn sha512(parts: &[&[u8]]) -> String {
    use sha2::Digest as _;
    sha2::Sha512::digest(parts.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_address_that_is_taken_is_waited_for() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = Bench::new("fraud");
    let spec = ForwardSpec { listen: taken.local_addr().unwrap(), ..spec() };
    let context = bench.context();
    let running = tokio::spawn(async move { run(&spec, &context).await });
    while bench.context().counters.status().state != SourceState::Retrying {
        tokio::task::yield_now().await;
    }
    bench.stop.send(true).unwrap();
    running.await.unwrap().unwrap();
}

#[test]
fn options_are_read_whatever_else_stands_beside_them() {
    let options = map(&[("size", Value::from(3)), ("chunk", Value::Binary(vec![1, 2])), ("x", map(&[]))]);
    let bytes = packed(&Value::Array(vec![Value::from("t"), Value::Array(vec![]), options]));
    let message = Message::read(&bytes).unwrap().unwrap();
    assert_eq!(message.options.chunk, Some(&[1, 2][..]));
    assert_eq!(message.entries(&message.inflated(9).unwrap()).count(), 0);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        if let Ok(Some(message)) = Message::read(&bytes)
            && let Ok(inflated) = message.inflated(1 << 16)
        {
            assert!(message.entries(&inflated).count() <= 1 + inflated.len());
        }
    }

}
