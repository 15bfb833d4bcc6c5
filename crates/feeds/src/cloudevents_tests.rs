//! Both modes say the same; what is no event is refused with the reason.

use super::*;

const TIME: &str = "2026-01-31T12:00:00.250Z";

fn binary(changes: &[(&'static str, &str)]) -> Result<Event, EventError> {
    let mut fields = BTreeMap::from([
        ("specversion", "1.0"),
        ("id", "i-1"),
        ("type", REQUEST),
        ("source", "http://localhost:9081/"),
        ("inferenceservicename", "fraud"),
        ("time", TIME),
        ("content-type", "application/json"),
    ]);
    fields.extend(changes.iter().copied());
    let content_type = fields.remove("content-type").map(str::as_bytes);
    let attribute = |name: &str| Ok(fields.get(name).map(|value| (*value).to_owned()));
    Event::read(content_type, attribute, Bytes::from_static(b"{\"a\":0.1}"))
}

fn structured(text: &str) -> Result<Event, EventError> {
    let none = |_: &str| panic!("attributes stand in the event itself");
    let content_type = b"application/CloudEvents+json; charset=utf-8";
    Event::read(Some(content_type), none, Bytes::copy_from_slice(text.as_bytes()))
}

fn with(rest: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"i-1","type":"{REQUEST}","source":"x","inferenceservicename":"fraud","time":"{TIME}",{rest}}}"#
    )
}

#[test]
fn both_modes_give_the_same_event() {
    let expected = binary(&[]).unwrap();
    assert_eq!(expected.at_ms, Some(1_769_860_800_250));
    assert!(expected.is_binary);
    for data in [
        r#""datacontenttype":"application/json","data_base64":"eyJhIjowLjF9""#,
        r#""datacontenttype":"application/json","data":{"a":0.1}"#,
    ] {
        let event = structured(&with(data)).unwrap();
        assert_eq!(event, Event { is_binary: false, ..expected.clone() }, "{data}");
    }
}

#[test]
fn data_is_json_unless_its_type_says_otherwise() {
    let text = structured(&with(r#""datacontenttype":"text/csv; header=absent","data":"1,2\n""#)).unwrap();
    assert_eq!((&*text.data, text.content_type.as_deref()), (&b"1,2\n"[..], Some("text/csv; header=absent")));
    assert_eq!(structured(&with(r#""data":"1,2""#)).unwrap().data, r#""1,2""#);
    assert_eq!(binary(&[("type", RESPONSE)]).unwrap().content_type, None, "it is the request's");
}

#[test]
fn numbers_stay_as_they_were_written() {
    let event = structured(&with(r#""data":{"a":0.10000000000000000555,"b":1e400}"#)).unwrap();
    assert_eq!(event.data, r#"{"a":0.10000000000000000555,"b":1e400}"#);
}

#[test]
fn what_is_no_event_is_refused() {
    for changes in [
        ("id", ""),
        ("id", &*"x".repeat(ID_BYTES + 1)),
        ("type", "org.example.other"),
        ("specversion", "0.3"),
        ("time", "yesterday"),
        ("content-type", "application/cloudevents-batch+json"),
    ] {
        assert!(binary(&[changes]).is_err(), "{changes:?}");
    }
    assert!(Event::read(None, |_| Ok(None), Bytes::new()).is_err());
    assert!(Event::read(None, |name| Err(missing(name)), Bytes::new()).is_err());
    for text in [
        "",
        "[]",
        "{}",
        "\u{0}",
        &with(r#""x":1"#),
        &with(r#""data":1,"data_base64":"""#),
        &with(r#""data_base64":"***""#),
        &with(r#""data":1,"id":"twice""#),
        &with(r#""data":1"#).replace("\"i-1\"", "7"),
    ] {
        assert!(structured(text).is_err(), "{}", shown(text));
    }
    assert_eq!(binary(&[("inferenceservicename", "")]).unwrap().model, None, "the carrier may know it");
}

#[test]
fn the_tenant_is_among_the_logged_headers() {
    let metadata = r#"{"X-Foo":["v"],"X-Tenant-Id":["acme"],"X-Two":["a","b"],"X-None":[]}"#;
    let event = binary(&[("metadata", metadata)]).unwrap();
    assert_eq!(event.logged_header("x-tenant-id").as_deref(), Some(&b"acme"[..]));
    assert_eq!(event.logged_header("x-two").as_deref(), Some(&b"a,b"[..]));
    assert_eq!(event.logged_header("x-none"), None);
    assert_eq!(binary(&[("metadata", "not json")]).unwrap().logged_header("x-foo"), None);
    assert_eq!(binary(&[]).unwrap().logged_header("x-foo"), None);
}
