//! Rules of single fields; the way of whole requests is tested over sockets.

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let parse = |(n, v): &(&str, &str)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap());
    fields.iter().map(parse).collect()
}

#[test]
fn a_client_cannot_nominate_what_decides() {
    for name in
        ["authorization", "Host", "X-Forwarded-For", "x-request-id", "X-Shadow", "cookie", "content-length"]
    {
        let headers = map(&[("host", "t"), ("connection", &format!("close, {name}"))]);
        assert!(matches!(inspect(&headers, Version::HTTP_11), Err(Refusal::Header(_))), "{name}");
    }
    let headers =
        map(&[("host", "t"), ("connection", "keep-alive, x-other"), ("x-other", "1"), ("x-kept", "1")]);
    let found = inspect(&headers, Version::HTTP_11).unwrap();
    let mut stripped = headers.clone();
    found.strip(&mut stripped);
    assert_eq!(stripped, map(&[("host", "t"), ("x-kept", "1")]));
}

#[test]
fn tenants_are_single_unimitated_and_not_nominated() {
    let tenant = HeaderName::from_static("x-tenant");
    assert!(check_tenant(&map(&[("x-tenant", "a")]), &tenant).is_ok());
    assert!(check_tenant(&map(&[]), &tenant).is_ok());
    assert!(check_tenant(&map(&[("x-tenant", "a"), ("x-tenant", "a")]), &tenant).is_err());
    assert!(check_tenant(&map(&[("x-tenant", "a"), ("x_tenant", "b")]), &tenant).is_err());
    assert!(check_tenant(&map(&[("connection", "X-Tenant")]), &tenant).is_err());
}

#[test]
fn ids_are_kept_when_sane_and_replaced_when_not() {
    for (given, kept) in [("abc-1.2_3", true), ("../../x", false), ("", false), ("a b", false)] {
        let mut headers = map(&[("x-request-id", given)]);
        let id = request_id(&mut headers);
        assert_eq!(id == given, kept, "{given}");
        assert_eq!(headers.get(X_REQUEST_ID), Some(&id));
        assert!(is_sane_id(id.as_bytes()));
    }
    let mut twice = map(&[("x-request-id", "a"), ("x-request-id", "b")]);
    assert_eq!(request_id(&mut twice).len(), 32);
    assert_eq!(twice.get_all(X_REQUEST_ID).iter().count(), 1);
    let mut long = map(&[("x-request-id", &"a".repeat(129))]);
    assert_eq!(request_id(&mut long).len(), 32);
}

#[test]
fn marks_count_unless_one_of_us_made_them() {
    let found = |fields: &[(&str, &str)]| inspect(&map(fields), Version::HTTP_10).unwrap();
    assert!(found(&[("x-shadow", "true")]).marked);
    assert!(!found(&[("x-shadow", "1")]).marked);
    let ours = found(&[("x-shadow", "true"), ("x-driftline-hop", "1")]);
    assert!(ours.is_copy && !ours.marked);
    assert_eq!(ours.next_hop(), "2");
}

#[test]
fn loops_end() {
    let vias = ["1.1 driftline"; 8].join(", ");
    assert_eq!(inspect(&map(&[("via", &vias)]), Version::HTTP_10).unwrap_err(), Refusal::Loop);
    let fewer = ["1.1 driftline"; 7].join(", ");
    assert!(inspect(&map(&[("via", &fewer), ("via", "1.1 other")]), Version::HTTP_10).is_ok());
    for hop in ["8", "4294967295", "99999999999", "x"] {
        let error = inspect(&map(&[("x-driftline-hop", hop)]), Version::HTTP_10).unwrap_err();
        assert_eq!(error, Refusal::Loop, "{hop}");
    }
}

#[test]
fn hosts() {
    for good in ["t", "a.b-c_d~e", "t:80", "127.0.0.1:65535", "[::1]", "[::1]:8080"] {
        assert!(authority(good.as_bytes()).is_ok(), "{good}");
    }
    for bad in
        ["", ":80", "t:", "t:65536", "t:8a", "u@t", "a,b", "a b", "a/b", "[::1", "[]", "[::1]x", "a\u{e9}"]
    {
        assert!(authority(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn an_answer_with_both_lengths_keeps_neither() {
    let mut headers =
        map(&[("transfer-encoding", "chunked"), ("content-length", "5"), ("x", "1"), ("keep-alive", "5")]);
    strip_answer(&mut headers);
    assert_eq!(headers, map(&[("x", "1")]));
}

#[test]
fn cookies_are_joined() {
    let mut headers = map(&[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")]);
    join_cookies(&mut headers);
    assert_eq!(headers, map(&[("cookie", "a=1; b=2"), ("x", "1")]));
}
