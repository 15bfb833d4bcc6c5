//! Both modes say the same; what is no event is refused with the reason.

use axum::http::HeaderName;
use axum::response::IntoResponse;

use super::*;

const TIME: &str = "2026-01-31T12:00:00.250Z";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
}

fn binary(changes: &[(&'static str, &str)]) -> Result<Event, ApiError> {
    let mut fields = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-id", "i-1"),
        ("ce-type", REQUEST),
        ("ce-source", "http://localhost:9081/"),
        ("ce-inferenceservicename", "fraud"),
        ("ce-time", TIME),
        ("content-type", "application/json"),
    ]);
    fields.extend(headers(changes));
    Event::read(&fields, Bytes::from_static(b"{\"a\":0.1}"))
}

fn structured(text: &str) -> Result<Event, ApiError> {
    let fields = headers(&[("content-type", "application/CloudEvents+json; charset=utf-8")]);
    Event::read(&fields, Bytes::copy_from_slice(text.as_bytes()))
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
        assert_eq!(
            structured(&with(data)).unwrap(),
            Event { is_binary: false, ..binary(&[]).unwrap() },
            "{data}"
        );
    }
}

#[test]
fn data_is_json_unless_its_type_says_otherwise() {
    let text = structured(&with(r#""datacontenttype":"text/csv; header=absent","data":"1,2\n""#)).unwrap();
    assert_eq!((&*text.data, text.content_type.as_deref()), (&b"1,2\n"[..], Some("text/csv; header=absent")));
    assert_eq!(structured(&with(r#""data":"1,2""#)).unwrap().data, r#""1,2""#);
    assert_eq!(binary(&[("ce-type", RESPONSE)]).unwrap().content_type, None, "it is the request's");
}

#[test]
fn numbers_stay_as_they_were_written() {
    let event = structured(&with(r#""data":{"a":0.10000000000000000555,"b":1e400}"#)).unwrap();
    assert_eq!(event.data, r#"{"a":0.10000000000000000555,"b":1e400}"#);
}

#[test]
fn what_is_no_event_is_refused() {
    for changes in [
        ("ce-id", ""),
        ("ce-id", "%ff"),
        ("ce-id", &*"x".repeat(ID_BYTES + 1)),
        ("ce-type", "org.example.other"),
        ("ce-specversion", "0.3"),
        ("ce-time", "yesterday"),
        ("ce-inferenceservicename", ""),
        ("content-type", "application/cloudevents-batch+json"),
    ] {
        assert!(binary(&[changes]).is_err(), "{changes:?}");
    }
    assert!(Event::read(&HeaderMap::new(), Bytes::new()).is_err());
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
}

#[test]
fn a_refusal_is_a_400_that_names_the_attribute() {
    let error = binary(&[("ce-id", "")]).unwrap_err();
    assert!(format!("{error:?}").contains("`id`"), "{error:?}");
    assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
}

#[test]
fn the_tenant_is_among_the_logged_headers() {
    let metadata = r#"{"X-Foo":["v"],"X-Tenant-Id":["acme"],"X-Two":["a","b"],"X-None":[]}"#;
    assert_eq!(logged_header(metadata, "x-tenant-id").as_deref(), Some(&b"acme"[..]));
    assert_eq!(logged_header(metadata, "x-two").as_deref(), Some(&b"a,b"[..]));
    assert_eq!(logged_header(metadata, "x-none"), None);
    assert_eq!(logged_header("not json", "x-foo"), None);
    let event = binary(&[("ce-metadata", "%7B%22X-Foo%22:%5B%22v%22%5D%7D")]).unwrap();
    assert_eq!(event.metadata.as_deref(), Some(r#"{"X-Foo":["v"]}"#));
}
